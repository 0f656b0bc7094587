import type { RequestedTrigger } from '../../../pipelines/branch-triggers.ts'
import type { Dice } from '../../busy-world.ts'
import { scheduleSpecs } from '../schedule-model.ts'
import { sourceRepos } from '../source-model.ts'
import { type Action, pick } from './actions.ts'
import { finishedCommit } from './source-steps.ts'

/** What people do to branches that follow others. */
export type TriggerStepKind = 'follow' | 'unfollow' | 'moveFollower' | 'deleteFollower'

const followers: readonly string[] = ['staging', 'late']

/** Conditions that often come to hold, in few steps. */
export function randomTrigger(branch: string, dice: Dice): RequestedTrigger {
  const kinds = 1 + dice.roll(7)
  return {
    branch,
    all: dice.roll(3) === 0,
    size: (kinds & 1) > 0 ? `${1 + dice.roll(12)}` : '',
    commits: (kinds & 2) > 0 ? 1 + dice.roll(3) : 0,
    cronSpec: (kinds & 4) > 0 ? pick(dice, scheduleSpecs) : '',
  }
}

export const triggerActions: Readonly<Record<TriggerStepKind, Action>> = {
  async follow({ server }, dice) {
    const repo = pick(dice, sourceRepos)
    const branch = pick(dice, followers)
    const source = pick(dice, ['master', 'master', 'other', 'staging', 'late'])
    const trigger = randomTrigger(source, dice)
    await server.processing.branchTriggers.set(repo, branch, trigger)
    return `follow ${repo}@${branch} ${JSON.stringify(trigger)}`
  },
  async unfollow({ server }, dice) {
    const repo = pick(dice, sourceRepos)
    const branch = pick(dice, followers)
    const wasThere = await server.processing.branchTriggers.remove(repo, branch)
    return `unfollow ${repo}@${branch}: ${wasThere}`
  },
  async moveFollower(simulation, dice) {
    const { repo, id } = finishedCommit(simulation, dice)
    const branch = pick(dice, followers)
    simulation.triggerLaw.movedByHand = `${repo}@${branch}`
    await simulation.server.versioning.branches.set(repo, branch, id)
    return `set-branch ${repo}@${branch} ${id.slice(0, 6)}`
  },
  async deleteFollower({ server }, dice) {
    const repo = pick(dice, sourceRepos)
    const branch = pick(dice, followers)
    await server.versioning.branches.delete(repo, branch)
    return `delete-branch ${repo}@${branch}`
  },
}
