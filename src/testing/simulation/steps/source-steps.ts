import { utf8 } from '../../../base/bytes.ts'
import type { Dice } from '../../busy-world.ts'
import type { Files } from '../expected-output.ts'
import type { Simulation } from '../simulation.ts'
import { type ModelCommit, sourceRepos } from '../source-model.ts'
import { type Action, pick } from './actions.ts'

/** What people do to the repos that they write to. */
export type SourceStepKind =
  | 'commit'
  | 'open'
  | 'put'
  | 'finish'
  | 'together'
  | 'setBranch'
  | 'deleteBranch'
  | 'deleteCommit'
  | 'merge'
  | 'revert'

async function startCommit(simulation: Simulation, repo: string, branch: string): Promise<string> {
  const { model, server } = simulation
  let made = ''
  await model.make(1, async () => {
    const { id } = await server.versioning.commits.start({ repo, branch })
    made = id
    return [{ id, repo, files: await simulation.filesOf(repo, id), isFinished: false }]
  })
  return made
}

async function changeFiles(simulation: Simulation, id: string, dice: Dice): Promise<string> {
  const done: string[] = []
  for (let count = 1 + dice.roll(3); count > 0; count -= 1) {
    done.push(await changeFile(simulation, id, dice))
  }
  return done.join(' ')
}

async function changeFile(simulation: Simulation, id: string, dice: Dice): Promise<string> {
  const { model, server } = simulation
  const { repo, files } = model.get(id)
  const { writes } = server.versioning
  const { path, text } = newFile(simulation, repo, dice)
  const name = { repo, commit: id, path }
  const isDirectory = dice.roll(4) === 0
  if (repo !== 'log' && dice.roll(4) === 0) {
    const gone = isDirectory ? path.slice(0, 2) : path
    const after = new Map(
      [...files].filter(([one]) => one !== `/${gone}` && !one.startsWith(`/${gone}/`)),
    )
    await model.change(id, after, () => writes.delete({ ...name, path: gone }))
    return `-${gone}`
  }
  const after = withFile(files, path, text)
  await model.change(id, after, () => writes.put(name, utf8(text), { overwrite: true }))
  return `${path}=${text}`
}

export function withFile(files: Files, path: string, text: string): Files {
  const after = new Map(files).set(`/${path}`, text)
  const slash = path.indexOf('/')
  return slash < 0 ? after : after.set(`/${path.slice(0, slash + 1)}`, '')
}

function newFile(
  { model }: Simulation,
  repo: string,
  dice: Dice,
): { readonly path: string; readonly text: string } {
  const directory = dice.roll(2) === 0 ? '' : `d${dice.roll(2)}/`
  if (repo === 'log') {
    model.logCount += 1
    return { path: `${directory}l${model.logCount}`, text: `${dice.roll(9)}` }
  }
  const text = dice.roll(10) === 0 ? `bad${dice.roll(2)}` : `v${dice.roll(5)}`
  return { path: `${directory}f${dice.roll(4)}`, text }
}

function branchOf(dice: Dice): string {
  return dice.roll(5) === 0 ? 'other' : 'master'
}

async function finish({ model, server }: Simulation, id: string): Promise<void> {
  const { repo } = model.get(id)
  await model.finish(id, () => server.versioning.commits.finish(repo, id))
}

export function finishedCommit(
  { model }: Simulation,
  dice: Dice,
): { readonly repo: string; readonly id: string } {
  const repo = pick(dice, sourceRepos)
  return pick(dice, model.of(repo, true).slice(-6))
}

/** What merges and reverts make is taken as it is: other tests say what it must be. */
async function headOf(
  simulation: Simulation,
  repo: string,
  id: string | undefined,
): Promise<readonly ModelCommit[]> {
  if (id === undefined) return []
  return [{ id, repo, files: await simulation.filesOf(repo, id), isFinished: true }]
}

export async function mergeBranches(
  simulation: Simulation,
  names: { readonly repo: string; readonly from: string; readonly into: string },
): Promise<string> {
  const { model, server } = simulation
  let outcome = ''
  await model.make(1, async () => {
    const change = await server.versioning.branchChanges.merge(names, unlimited)
    outcome = change.outcome
    return await headOf(simulation, names.repo, change.head)
  })
  return outcome
}

const unlimited = { dryRun: false, prefer: 'ours' as const, message: '' }

export const sourceActions: Readonly<Record<SourceStepKind, Action>> = {
  async commit(simulation, dice) {
    const repo = pick(dice, sourceRepos)
    const branch = branchOf(dice)
    const id = await startCommit(simulation, repo, branch)
    const what = await changeFiles(simulation, id, dice)
    await finish(simulation, id)
    return `commit ${repo}@${branch} ${id.slice(0, 6)}: ${what}`
  },
  async open(simulation, dice) {
    const repo = pick(dice, sourceRepos)
    const branch = branchOf(dice)
    const id = await startCommit(simulation, repo, branch)
    return `open ${repo}@${branch} ${id.slice(0, 6)}`
  },
  async put(simulation, dice) {
    const { id, repo } = pick(dice, simulation.model.of(pick(dice, sourceRepos), false))
    return `put ${repo} ${id.slice(0, 6)}: ${await changeFiles(simulation, id, dice)}`
  },
  async finish(simulation, dice) {
    const { id, repo } = pick(dice, simulation.model.of(pick(dice, sourceRepos), false))
    await finish(simulation, id)
    return `finish ${repo} ${id.slice(0, 6)}`
  },
  async together(simulation, dice) {
    const { model, server } = simulation
    const puts = ['a', 'b'].map((repo) => ({ repo, ...newFile(simulation, repo, dice) }))
    await model.make(2, async () => {
      const results = await server.versioning.transactions.run(
        puts.flatMap(({ repo, path, text }) => [
          { kind: 'start-commit', repo, branch: 'master' },
          { kind: 'put-file', repo, commit: 'master', path, bytes: utf8(text), overwrite: true },
          { kind: 'finish-commit', repo, commit: 'master' },
        ]),
      )
      const made: ModelCommit[] = []
      for (const result of results) {
        if (result === undefined) continue
        const files = await simulation.filesOf(result.repo, result.id)
        made.push({ ...result, files, isFinished: true })
      }
      return made
    })
    return `together ${puts.map(({ repo, path, text }) => `${repo}:${path}=${text}`).join(' ')}`
  },
  async setBranch(simulation, dice) {
    const { repo, id } = finishedCommit(simulation, dice)
    const branch = branchOf(dice)
    await simulation.server.versioning.branches.set(repo, branch, id)
    return `set-branch ${repo}@${branch} ${id.slice(0, 6)}`
  },
  async deleteBranch(simulation, dice) {
    const repo = pick(dice, sourceRepos)
    const branch = branchOf(dice)
    await simulation.server.versioning.branches.delete(repo, branch)
    return `delete-branch ${repo}@${branch}`
  },
  async deleteCommit(simulation, dice) {
    const { model, server } = simulation
    const { repo, id } = finishedCommit(simulation, dice)
    await model.remove(async () => {
      const names = [{ repo, commit: id }]
      const deleted = await server.versioning.deletions.delete(names, { dryRun: false })
      return deleted.commits.map((commit) => commit.id)
    })
    return `delete-commit ${repo}@${id.slice(0, 6)}`
  },
  async merge(simulation, dice) {
    const repo = pick(dice, sourceRepos)
    const outcome = await mergeBranches(simulation, { repo, from: 'other', into: 'master' })
    return `merge ${repo}@other into master: ${outcome}`
  },
  async revert(simulation, dice) {
    const { model, server } = simulation
    const { id } = pick(dice, model.of(pick(dice, ['a', 'b']), true).slice(-6))
    const { repo } = model.get(id)
    const names = { repo, commit: id, branch: 'master' }
    let outcome = ''
    await model.make(1, async () => {
      const change = await server.versioning.branchChanges.revert(names, unlimited)
      outcome = change.outcome
      return await headOf(simulation, repo, change.head)
    })
    return `revert ${repo} ${id.slice(0, 6)}: ${outcome}`
  },
}
