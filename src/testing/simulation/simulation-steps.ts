import { utf8 } from '../../base/bytes.ts'
import type { RequestedInput, RequestedSpec } from '../../pipelines/requested-specs.ts'
import { Dice } from '../busy-world.ts'
import { transform } from '../test-processing.ts'
import type { Files } from './expected-output.ts'
import { type ModelCommit, sourceRepos } from './source-model.ts'
import { bucketUrl, NothingToDoError, type Simulation } from './simulation.ts'
import { usualKinds } from './user-codes.ts'

/** What a step may be. */
export type StepKind =
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
  | 'collect'
  | 'flush'
  | 'wait'
  | 'settle'
  | 'crash'
  | 'restart'

/** What somebody does to the server; returns what, in words. */
type Action = (simulation: Simulation, dice: Dice) => Promise<string>

const pipelineNames: readonly string[] = ['p0', 'p1', 'p2', 'p3', 'p4', 'p5']
const trialNames: readonly string[] = ['t0', 't1']
const globs: readonly string[] = ['/', '/*', '/*', '/*/*', '/d*', '/f*']
const matches = [
  { glob: '/(?)*', on: '$1' },
  { glob: '/*/(*)', on: '$1' },
] as const

function pick<Item>(dice: Dice, items: readonly Item[]): Item {
  const item = dice.pick(items)
  if (item === undefined) throw new NothingToDoError('there is nothing to choose from')
  return item
}

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

function finishedCommit(
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

function inputOf(simulation: Simulation, name: string, dice: Dice): RequestedInput {
  const lower = pipelineNames.slice(0, pipelineNames.indexOf(name))
  const known = [...lower, ...lower].filter((one) => simulation.hasPipeline(one))
  const repos = ['a', 'b', ...known]
  const memberCount = 1 + dice.roll(3)
  const shareName = dice.roll(2) === 0
  const atoms = (matching: 'joinOn' | 'groupBy' | undefined, sameName: boolean): RequestedInput[] =>
    Array.from({ length: memberCount }, (_, index) => {
      const match = pick(dice, matches)
      const atom = {
        name: sameName ? 'in' : `x${index}`,
        repo: pick(dice, repos),
        branch: '',
        glob: matching === undefined ? pick(dice, globs) : match.glob,
        lazy: false,
        fromCommit: '',
        ...(matching !== undefined && { [matching]: match.on }),
      }
      return { atom }
    })
  switch (dice.roll(8)) {
    case 0:
    case 1:
      return { cross: atoms(undefined, false) }
    case 2:
    case 3:
      return { union: atoms(undefined, shareName) }
    case 4:
      return { join: atoms('joinOn', false) }
    case 5:
      return { group: atoms('groupBy', false) }
    case 6:
      return { cross: [{ union: atoms(undefined, shareName) }, ...atoms(undefined, false)] }
    default: {
      const atom = { name: 'in', repo: pick(dice, repos), branch: '', glob: pick(dice, globs) }
      return { atom: { ...atom, lazy: false, fromCommit: '' } }
    }
  }
}

function logInput(dice: Dice): RequestedInput {
  const glob = dice.roll(2) === 0 ? '/' : '/*'
  return { atom: { name: 'in', repo: 'log', branch: '', glob, lazy: false, fromCommit: '' } }
}

function specOf(
  simulation: Simulation,
  name: string,
  { command, isIncremental }: { readonly command: string; readonly isIncremental: boolean },
  dice: Dice,
): RequestedSpec {
  const constant = dice.roll(4)
  const errorCommand = dice.roll(4) === 0 ? ['nothing:0'] : undefined
  return {
    name,
    transform: transform(command, { errorCommand }),
    input: isIncremental ? logInput(dice) : inputOf(simulation, name, dice),
    incremental: isIncremental,
    ...(dice.roll(4) === 0 && { egressUrl: bucketUrl + name }),
    ...(constant > 0 && { parallelism: { constant, coefficient: 0 } }),
  }
}

function commandOf(isIncremental: boolean, dice: Dice): string {
  const mark = dice.roll(1000)
  return isIncremental ? `seen:${mark}` : `${pick(dice, usualKinds)}:${mark}`
}

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

async function mergeBranches(
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

const actions: Readonly<Record<StepKind, Action>> = {
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
  async collect(simulation) {
    simulation.collect()
    return 'collect garbage'
  },
  async flush(simulation, dice) {
    const { repo, id } = finishedCommit(simulation, dice)
    simulation.flush(repo, id)
    return `flush ${repo}@${id.slice(0, 6)}`
  },
  async wait(simulation, dice) {
    await simulation.wait(dice.roll(300))
    return 'wait'
  },
  async settle(simulation) {
    await simulation.wait(Number.POSITIVE_INFINITY)
    return 'wait until all is done'
  },
  /** The crash comes in the middle of a later step. */
  async crash(simulation, dice) {
    simulation.crashAfter(1 + dice.roll(60))
    return 'a crash is coming'
  },
  async restart(simulation) {
    await simulation.restart()
    return 'restart'
  },
}

export interface Step {
  readonly kind: StepKind
  /** Of all that is left to chance in it. */
  readonly seed: number
}

/** @throws {BrokenLawError} */
export async function takeStep(simulation: Simulation, { kind, seed }: Step): Promise<void> {
  await simulation.take(kind, () => actions[kind](simulation, new Dice(seed)))
}

/** How often each kind comes, in a long run. */
export const usualWeights: Readonly<Record<StepKind, number>> = {
  commit: 24,
  open: 3,
  put: 5,
  finish: 4,
  together: 3,
  setBranch: 2,
  deleteBranch: 1,
  deleteCommit: 2,
  merge: 1,
  revert: 1,
  create: 9,
  update: 3,
  reprocess: 1,
  stop: 3,
  start: 5,
  deletePipeline: 1,
  run: 2,
  stopJob: 2,
  deleteJob: 1,
  restartDatum: 2,
  try: 5,
  mergeTrial: 5,
  deleteTrial: 2,
  collect: 2,
  flush: 3,
  wait: 10,
  settle: 2,
  crash: 4,
  restart: 1,
}

export function randomSteps(
  dice: Dice,
  count: number,
  weights: Readonly<Partial<Record<StepKind, number>>> = usualWeights,
): readonly Step[] {
  const kinds = Object.entries(weights).flatMap(([kind, weight]) =>
    // The cast: `Object.entries` forgets the names of keys.
    Array.from({ length: weight }, () => kind as StepKind),
  )
  return Array.from({ length: count }, () => ({
    kind: pick(dice, kinds),
    seed: dice.roll(2 ** 31),
  }))
}
