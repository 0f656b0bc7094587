import type { Dice } from '../../busy-world.ts'
import type { Simulation } from '../simulation.ts'
import { type Action, pick, pipelineNames } from './actions.ts'
import { commandOf, specOf } from './random-specs.ts'
import { mergeBranches } from './source-steps.ts'

/** What people do to pipelines, their jobs, and their trials. */
export type PipelineStepKind =
  | 'create'
  | 'update'
  | 'reprocess'
  | 'stop'
  | 'start'
  | 'deletePipeline'
  | 'run'
  | 'stopJob'
  | 'deleteJob'
  | 'restartDatum'
  | 'try'
  | 'mergeTrial'
  | 'deleteTrial'

const trialNames: readonly string[] = ['t0', 't1']

async function update(simulation: Simulation, dice: Dice, reprocess: boolean): Promise<string> {
  const { pipelines } = simulation.server.processing
  const name = pick(dice, pipelineNames)
  // Code is no part of a datum's key, so it changes only with the salt here.
  const { spec: old } = await pipelines.inspect(name)
  const isIncremental = old.incremental
  const command = reprocess ? commandOf(isIncremental, dice) : (old.transform.command[0] ?? '')
  const spec = specOf(simulation, name, { command, isIncremental }, dice)
  await pipelines.update(spec, { reprocess })
  return `update ${name} ${command} ${JSON.stringify(spec.input)}${reprocess ? ' --reprocess' : ''}`
}

export const pipelineActions: Readonly<Record<PipelineStepKind, Action>> = {
  async create(simulation, dice) {
    const name = pick(dice, pipelineNames)
    const isIncremental = dice.roll(6) === 0
    const command = commandOf(isIncremental, dice)
    const spec = specOf(simulation, name, { command, isIncremental }, dice)
    await simulation.server.processing.pipelines.create(spec)
    return `create ${name} ${command} ${JSON.stringify(spec.input)}`
  },
  update: async (simulation, dice) => await update(simulation, dice, false),
  reprocess: async (simulation, dice) => await update(simulation, dice, true),
  async stop({ server }, dice) {
    const name = pick(dice, pipelineNames)
    await server.processing.pipelines.stop(name)
    return `stop ${name}`
  },
  async start({ server }, dice) {
    const name = pick(dice, pipelineNames)
    await server.processing.pipelines.start(name)
    return `start ${name}`
  },
  async deletePipeline({ server }, dice) {
    const name = pick(dice, pipelineNames)
    const options = {
      deleteJobs: dice.roll(2) === 0,
      deleteRepo: dice.roll(3) === 0,
      cascade: dice.roll(2) === 0,
    }
    await server.processing.pipelines.delete(name, options)
    return `delete ${name} ${JSON.stringify(options)}`
  },
  async run({ server }, dice) {
    const name = pick(dice, pipelineNames)
    const job = await server.processing.pipelines.run(name, [])
    return `run ${name}: job ${job.slice(0, 6)}`
  },
  async stopJob({ server }, dice) {
    const job = pick(dice, (await server.processing.jobs.list()).slice(0, 6))
    await server.processing.jobs.stop(job.id)
    return `stop-job ${job.id.slice(0, 6)} of ${job.pipeline}`
  },
  async deleteJob({ server }, dice) {
    const job = pick(dice, await server.processing.jobs.list())
    await server.processing.jobs.delete(job.id)
    return `delete-job ${job.id.slice(0, 6)} of ${job.pipeline}`
  },
  async restartDatum({ server }, dice) {
    const { jobs, active } = server.processing
    const running = (await jobs.list()).filter(({ state }) => state === 'running')
    const job = pick(dice, running)
    const { members } = pick(dice, active.of(job.id))
    await jobs.restartDatum(job.id, [pick(dice, members).path])
    return `restart-datum of ${job.pipeline}`
  },
  async try(simulation, dice) {
    const { pipelines, trials } = simulation.server.processing
    const name = pick(dice, trialNames)
    const tried = pick(dice, pipelineNames)
    const { spec: old } = await pipelines.inspect(tried)
    const isIncremental = old.incremental
    const isSameCode = dice.roll(3) === 0
    const command = isSameCode ? (old.transform.command[0] ?? '') : commandOf(isIncremental, dice)
    const specs = [specOf(simulation, tried, { command, isIncremental }, dice)]
    const data = [{ repo: pick(dice, ['a', 'b']), branch: 'master', other: 'other' }]
    const how = dice.roll(3)
    await trials.create({
      name,
      specs: how === 0 ? [] : specs,
      data: how === 1 ? [] : data,
      results: 'same-code',
    })
    return `try ${name}: ${['data', 'spec', 'both'][how]} ${tried} ${command} ${JSON.stringify(specs[0]?.input)}`
  },
  async mergeTrial(simulation, dice) {
    const { trials } = simulation.server.processing
    const name = pick(dice, trialNames)
    const { data } = await trials.inspect(name)
    for (const { repo, branch, other } of data) {
      await mergeBranches(simulation, { repo, from: branch, into: other })
    }
    await simulation.wait(Number.POSITIVE_INFINITY)
    await trials.merge(name)
    return `merge trial ${name}`
  },
  async deleteTrial({ server }, dice) {
    const name = pick(dice, trialNames)
    await server.processing.trials.delete(name)
    return `delete trial ${name}`
  },
}
