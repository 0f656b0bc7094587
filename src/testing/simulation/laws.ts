import type { Instant } from '../../base/clock.ts'
import { compareBytes, utf8 } from '../../base/bytes.ts'
import { CheckRun } from '../../base/check-run.ts'
import { DomainError } from '../../base/errors.ts'
import { parseFilePath, pathKey } from '../../base/paths.ts'
import type { DatumState } from '../../pipelines/datum-states.ts'
import { atomsOf, branchesOf, type Input } from '../../pipelines/inputs.ts'
import type { JobRecord } from '../../pipelines/job-records.ts'
import { LostRepoError } from '../../pipelines/running/lost-repos.ts'
import { checkBaseJobs, checkPipelinesRows } from '../../pipelines/pipelines-check.ts'
import { hasEnded } from '../../pipelines/states.ts'
import { ChunkedContents } from '../../storage/chunked-contents.ts'
import { FileTrees, type TreeEdit } from '../../storage/file-trees.ts'
import { MemoryChunkStore } from '../../storage/memory-chunks.ts'
import { checkVersioningRows, checkVersioningSizes } from '../../versioning/versioning-check.ts'
import { walkRoots } from '../reachable-chunks.ts'
import { atomNamed, transform } from '../test-processing.ts'
import { expectedOutput, membersText, type Expected, type Files } from './expected-output.ts'
import { simulatedClock } from './events.ts'
import { periodMsMax, pollMs } from './schedule-model.ts'
import { checkServices, servesHeads } from './service-checks.ts'
import type { Simulation } from './simulation.ts'
import { sameFiles, sourceRepos } from './source-model.ts'
import { idleMs } from './steps/random-specs.ts'
import { withFile } from './steps/source-steps.ts'

const noInput: Input = { kind: 'union', members: [] }
/** Why a job may fail although user code would work. */
const outsideReasons = /was deleted|has been deleted|was restarted by a user/

/** Brings everything to rest, mends what user code cannot work with, and checks every law. */
export async function checkLaws(simulation: Simulation): Promise<void> {
  await rest(simulation, pollMs)
  await checkAtRest(simulation)
  await finishOpen(simulation)
  await startAll(simulation)
  simulation.givenUp.length = 0
  for (let round = 0; round < 2; round += 1) {
    await commitToAll(simulation, round)
    await rest(simulation, periodMsMax)
  }
  await checkEarlyEnds(simulation)
  const restAt = simulation.events.wall()
  await checkAtRest(simulation)
  await checkHeads(simulation, restAt)
  await emptySources(simulation)
  await rest(simulation)
  await mendCode(simulation)
  await commitToAll(simulation, 2)
  await rest(simulation)
  for (const flush of simulation.hangingFlushes) {
    if (!readsWhatMayNotCome(simulation)) simulation.break(`${flush} hangs`)
  }
  simulation.collect()
  await simulation.untilDone('collect', () => simulation.wait(Number.POSITIVE_INFINITY))
  await checkWhole(simulation)
  await simulation.untilDone('read all sources', () => simulation.checkSources())
}

/** Waits until nothing is due any more, for which time passes. */
async function rest(simulation: Simulation, ms = 0): Promise<void> {
  await simulation.untilDone('come to rest', () => simulation.pass(ms))
}

async function checkAtRest(simulation: Simulation): Promise<void> {
  const restAt = simulation.events.wall()
  simulation.observe()
  simulation.checkLimits()
  await simulation.untilDone('check ticks', () => checkTicks(simulation))
  await simulation.untilDone('check jobs', () => checkJobs(simulation, restAt))
  await simulation.untilDone('check services', () =>
    checkServices(simulation, async (repo, commit) => {
      const isThere = (await inspect(simulation, repo, commit)) !== undefined
      return isThere ? await knownFiles(simulation, repo, commit) : undefined
    }),
  )
  await simulation.untilDone('check exports', () => checkExports(simulation))
  await checkWhole(simulation)
}

/** Clocks have ticked as they should. */
async function checkTicks(simulation: Simulation): Promise<void> {
  simulation.checkTriggers()
  const broken = await simulation.cronLaw.check({
    now: simulation.events.wall(),
    filesOf: (repo, commit) => simulation.filesOf(repo, commit),
  })
  if (broken !== undefined) simulation.break(broken)
}

/** No commit is open, so that it cannot hold up what comes. */
async function finishOpen(simulation: Simulation): Promise<void> {
  const { model } = simulation
  await simulation.untilDone('finish commits', async () => {
    for (const repo of sourceRepos) {
      for (const { id } of model.of(repo, false)) {
        await model.finish(id, () => simulation.server.versioning.commits.finish(repo, id))
      }
    }
  })
}

async function startAll(simulation: Simulation): Promise<void> {
  await simulation.untilDone('start all', async () => {
    const { pipelines } = simulation.server.processing
    for (const { name } of await pipelines.list()) {
      try {
        await pipelines.start(name)
      } catch (error) {
        if (!(error instanceof LostRepoError)) throw error
        // It cannot be started, and while it is stopped whoever flushes waits for it.
        await pipelines.delete(name, { deleteJobs: false, deleteRepo: false })
      }
    }
  })
}

/** While people only commit, a flush that gives up, since no job would be made, is right: none is. */
async function checkEarlyEnds(simulation: Simulation): Promise<void> {
  await simulation.untilDone('check flushes', async () => {
    for (const { repo, commit, target, text } of simulation.givenUp) {
      const came = simulation.rows.get(
        `SELECT id FROM commits JOIN commit_provenance USING (id)
          WHERE repo = ? AND ancestor = ? AND finished_at IS NOT NULL`,
        [target, commit],
      )
      // What a trigger has not let through yet may come later.
      if (came !== undefined && !readsWhatMayNotCome(simulation))
        simulation.break(`flush of ${repo}@${commit} ended early: ${text}`)
    }
  })
}

/** Nothing is left that code could trip over, so that no flush waits for a pipeline whose jobs fail. */
async function emptySources(simulation: Simulation): Promise<void> {
  const { model } = simulation
  await simulation.untilDone('empty sources', async () => {
    const { commits, writes } = simulation.server.versioning
    for (const repo of ['a', 'b']) {
      const { id } = await commits.start({ repo, branch: 'master' })
      model.add({ id, repo, files: await simulation.filesOf(repo, id), isFinished: false })
      const tops = new Set([...model.get(id).files.keys()].map((path) => path.split('/')[1] ?? ''))
      for (const top of tops) {
        const after = new Map(
          [...model.get(id).files].filter(([path]) => path.split('/')[1] !== top),
        )
        await model.change(id, after, () => writes.delete({ repo, commit: id, path: top }))
      }
      await model.finish(id, () => commits.finish(repo, id))
      simulation.flush(repo, id)
    }
  })
}

/** Those that trip over what a deleted pipeline has left get code that does not. */
async function mendCode(simulation: Simulation): Promise<void> {
  await simulation.untilDone('mend code', async () => {
    const { jobs, pipelines } = simulation.server.processing
    for (const { name, state, spec } of await pipelines.list()) {
      const [last] = await jobs.list(name)
      if (spec.service !== undefined) continue
      if (state !== 'running' || last === undefined || last.state === 'success') continue
      const union = branchesOf(spec.input).map(({ repo }) => atomNamed(repo, '/', { name: repo }))
      const mended = {
        name,
        input: { union },
        transform: transform('nothing:0'),
        scaleDownThresholdMs: idleMs,
      }
      await pipelines.update(mended, { reprocess: true })
    }
  })
}

/** What is bad becomes good, and each source has a new commit. */
async function commitToAll(simulation: Simulation, round: number): Promise<void> {
  const { model } = simulation
  await simulation.untilDone('commit to all', async () => {
    const { commits, writes } = simulation.server.versioning
    for (const repo of sourceRepos) {
      const { id } = await commits.start({ repo, branch: 'master' })
      model.add({ id, repo, files: await simulation.filesOf(repo, id), isFinished: false })
      model.logCount += 1
      const changes = [[repo === 'log' ? `l${model.logCount}` : 'f9', `round ${round}`]]
      for (const [path, text] of model.get(id).files) {
        if (text.includes('bad')) changes.push([path.slice(1), 'good'])
      }
      for (const [path = '', text = ''] of changes) {
        const name = { repo, commit: id, path }
        const after = withFile(model.get(id).files, path, text)
        await model.change(id, after, () => writes.put(name, utf8(text), { overwrite: true }))
      }
      await model.finish(id, () => commits.finish(repo, id))
      simulation.flush(repo, id)
    }
  })
}

/** What the last good job of a pipeline wrote is where it exports to, among what others have exported there. */
async function checkExports(simulation: Simulation): Promise<void> {
  const { jobs, pipelines } = simulation.server.processing
  for (const { name, spec } of await pipelines.list()) {
    const [last] = await jobs.list(name)
    if (spec.egressUrl === undefined || last?.state !== 'success') continue
    const exported = simulation.exportedFiles(spec.egressUrl, last.outputCommit)
    if (
      exported === undefined ||
      (await inspect(simulation, name, last.outputCommit)) === undefined
    ) {
      continue
    }
    for (const [path, text] of await simulation.filesOf(name, last.outputCommit)) {
      if (path.endsWith('/') || exported.get(path) === text) continue
      simulation.break(`${spec.egressUrl}${path} is ${exported.get(path)}, and should be ${text}`)
    }
  }
}

/** Every job that is remembered came to what its inputs say; since `restAt`, a clock may have made another. */
async function checkJobs(simulation: Simulation, restAt: Instant): Promise<void> {
  const { jobs, pipelines } = simulation.server.processing
  const running = new Set<string>()
  for (const { name, spec, state } of await pipelines.list()) {
    if (state === 'running' && spec.service === undefined) running.add(name)
  }
  for (const job of await jobs.list()) {
    const name = `job ${job.id} of ${job.pipeline}`
    if (!hasEnded(job.state)) {
      const isOld = job.startedAt === undefined || job.startedAt < restAt
      if (isOld && running.has(job.pipeline)) simulation.break(`${name} is ${job.state} for ever`)
      continue
    }
    if ((await jobs.specOf(job))?.service !== undefined) {
      checkServiceEnd(simulation, name, job)
      continue
    }
    checkCounts(simulation, name, job)
    await checkEnds(simulation, name, job)
    await checkRoots(simulation, name, job)
    const expected = await expectedOf(simulation, job)
    if (expected === undefined) continue
    if (job.state === 'success') await checkSuccess(simulation, name, job, expected)
    if (job.state !== 'failure') continue
    if (expected.files !== undefined && !outsideReasons.test(job.reason)) {
      simulation.break(`${name} failed, and should not: ${job.reason}`)
    }
  }
}

/** A service never comes to an end by itself. */
function checkServiceEnd(simulation: Simulation, name: string, { state, reason }: JobRecord): void {
  if (state === 'killed' || (state === 'failure' && outsideReasons.test(reason))) return
  simulation.break(`${name}, of a service, is ${state}: ${reason}`)
}

function checkCounts(simulation: Simulation, name: string, { counts, state }: JobRecord): void {
  const sum = counts.processed + counts.skipped + counts.failed + counts.recovered
  if (sum > counts.total || (state === 'success' && (sum < counts.total || counts.failed > 0))) {
    simulation.break(`the counts of ${name}, ${state}, do not balance: ${JSON.stringify(counts)}`)
  }
}

/** What is counted of a job that did not succeed is what there is of its datums. */
async function checkEnds(simulation: Simulation, name: string, job: JobRecord): Promise<void> {
  // What was made from a commit goes with it.
  if (outsideReasons.test(job.reason)) return
  const { jobs } = simulation.server.processing
  const names = atomsOf((await jobs.specOf(job))?.input ?? noInput).map((atom) => atom.name)
  // Where two members of a union have one name, a datum may stand in two places, and count in one.
  if (job.state === 'success' || new Set(names).size < names.length) return
  const found = Map.groupBy(await Array.fromAsync(jobs.datums(job.id)), ({ state }) => state)
  const { processed: success, failed, recovered } = job.counts
  for (const [state, counted] of Object.entries({ success, failed, recovered })) {
    const count = found.get(state as DatumState)?.length ?? 0
    // One that was interrupted counts again what it finds again.
    if (job.restartCount === 0 ? counted === count : counted <= count) continue
    simulation.break(`${name}, ${job.state}, counts ${counted} datums as ${state}, not ${count}`)
  }
}

/** A job reads what comes from one commit of each source. */
async function checkRoots(simulation: Simulation, name: string, job: JobRecord): Promise<void> {
  const roots = new Map<string, string>()
  for (const { repo, commit } of job.inputs) {
    const info = await inspect(simulation, repo, commit)
    // Whether it may be gone is for the check of the store to say.
    if (info === undefined) continue
    for (const root of [info, ...info.provenance]) {
      if (!isRoot(simulation, root.repo)) continue
      const other = roots.get(root.repo) ?? root.id
      roots.set(root.repo, root.id)
      if (other !== root.id) {
        simulation.break(`${name} reads what comes from ${root.repo}@${other} and @${root.id}`)
      }
    }
  }
}

/** It is written by people, or by a clock. */
function isRoot({ cronLaw }: Simulation, repo: string): boolean {
  return sourceRepos.includes(repo) || cronLaw.repos.has(repo)
}

async function inspect(
  { server }: Simulation,
  repo: string,
  commit: string,
): Promise<Awaited<ReturnType<typeof server.versioning.commits.inspect>> | undefined> {
  return await server.versioning.commits.inspect(repo, commit).catch((error: unknown) => {
    if (error instanceof DomainError && error.kind === 'not-found') return undefined
    throw error
  })
}

/** Undefined when something that tells is gone. */
async function expectedOf(simulation: Simulation, job: JobRecord): Promise<Expected | undefined> {
  const spec = await simulation.server.processing.jobs.specOf(job)
  if (spec === undefined) return undefined
  const files = new Map<string, Files>()
  for (const { repo, commit } of job.inputs) {
    if ((await inspect(simulation, repo, commit)) === undefined) return undefined
    files.set(repo, await knownFiles(simulation, repo, commit))
  }
  return expectedOutput(
    spec,
    (repo) => files.get(repo) ?? new Map(),
    restartedDatums(simulation, job),
  )
}

/** A try that a user has ended counts as a failure, so that the error command may let the datum go. */
function restartedDatums({ rows }: Simulation, { id }: JobRecord): ReadonlySet<string> {
  const found = rows.all<{ readonly members: string }>(
    `SELECT members FROM datum_failures WHERE job = ? AND recovered = 1
      AND reason LIKE '%was restarted by a user%'`,
    [id],
  )
  // The cast: what the product has stored.
  return new Set(found.map(({ members }) => membersText(JSON.parse(members) as string[][])))
}

/** Of a source what was acknowledged; of others what is there, which is checked with its job. */
async function knownFiles(simulation: Simulation, repo: string, commit: string): Promise<Files> {
  const known = simulation.model.commits.get(commit)
  const found = await simulation.filesOf(repo, commit)
  if (known === undefined) return found
  const directories = [...found].filter(([path]) => path.endsWith('/'))
  return new Map([...known.files, ...directories])
}

async function checkSuccess(
  simulation: Simulation,
  name: string,
  job: JobRecord,
  expected: Expected,
): Promise<void> {
  if (expected.files === undefined) {
    return simulation.break(`${name} succeeded, and should fail: ${expected.reason}`)
  }
  if (job.counts.total !== expected.datumCount) {
    simulation.break(`${name} has ${job.counts.total} datums, and should ${expected.datumCount}`)
  }
  // Whether it may be gone is for the check of the store to say.
  if ((await inspect(simulation, job.outputRepo, job.outputCommit)) === undefined) return
  const found = await simulation.filesOf(job.outputRepo, job.outputCommit)
  if (!sameFiles(found, expected.files)) {
    return simulation.break(`${name} wrote ${shown(found)}, and should ${shown(expected.files)}`)
  }
  const { state } = await simulation.server.versioning.commits.inspect(
    job.outputRepo,
    job.outputCommit,
  )
  const root = await rootOf(expected.files)
  if (state.kind === 'finished' && state.tree.root === root) return
  simulation.break(`the root of what ${name} wrote is not the one of these files made at once`)
}

/** Of a tree that is built from nothing. */
async function rootOf(files: Files): Promise<string> {
  const chunks = new MemoryChunkStore()
  const [trees, contents] = [new FileTrees(chunks), new ChunkedContents(chunks)]
  const edits: TreeEdit[] = []
  for (const [text, content] of files) {
    const written = await contents.writeBytes(utf8(content))
    edits.push({ path: parseFilePath(text), entry: { kind: 'file', content: written } })
  }
  edits.sort((left, right) => compareBytes(pathKey(left.path), pathKey(right.path)))
  return (
    await trees.edit(await trees.emptyRoot(), edits, {
      emptied: 'remove',
    })
  ).root
}

function shown(files: Files): string {
  const entries = [...files].toSorted(([left], [right]) => (left < right ? -1 : 1))
  return JSON.stringify(Object.fromEntries(entries))
}

/**
 * After a commit to each source, the head of each pipeline is what its code makes of the heads of its
 * inputs: as far as all of them are made from what is new, and no clock has made another job since `restAt`.
 */
async function checkHeads(simulation: Simulation, restAt: Instant): Promise<void> {
  await simulation.untilDone('check heads', async () => {
    const { processing } = simulation.server
    const good = new Set([...sourceRepos, ...simulation.cronLaw.repos])
    const all = await processing.pipelines.list()
    for (const { name, spec, state } of all.toSorted((left, right) =>
      left.name < right.name ? -1 : 1,
    )) {
      const files = new Map<string, Files>()
      for (const { repo, branch } of branchesOf(spec.input)) {
        const isGood = good.has(repo) && isAtMaster(simulation, repo, branch)
        if (isGood) files.set(repo, await simulation.filesOf(repo, 'master'))
        else files.clear()
        if (!isGood) break
      }
      if (state !== 'running' || files.size === 0) continue
      if (spec.service !== undefined) {
        const [newest] = await processing.jobs.list(name)
        if (newest !== undefined && servesHeads(simulation, spec, newest)) continue
        simulation.break(`service ${name} serves ${JSON.stringify(newest?.inputs)}`)
        continue
      }
      const expected = expectedOutput(spec, (repo) => files.get(repo) ?? new Map())
      if (expected.files === undefined) continue
      const [job] = await processing.jobs.list(name)
      if (job !== undefined && !hasEnded(job.state) && (job.startedAt ?? 0) >= restAt) continue
      if (job?.state !== 'success') {
        simulation.break(`the last job of ${name} is ${job?.state}: ${job?.reason}`)
        continue
      }
      good.add(name)
      const found = await simulation.filesOf(name, 'master')
      if (!sameFiles(found, expected.files)) {
        simulation.break(`${name} holds ${shown(found)}, and should ${shown(expected.files)}`)
      }
    }
  })
}

/** Some pipeline reads a branch that may be behind others, or the output of a service, which has none. */
function readsWhatMayNotCome({ rows }: Simulation): boolean {
  const found = rows.get(
    `SELECT pipeline FROM pipeline_inputs WHERE branch <> 'master'
      OR repo IN (SELECT name FROM pipelines WHERE service_port IS NOT NULL)`,
  )
  return found !== undefined
}

/** A branch that follows another may be behind. */
function isAtMaster({ rows }: Simulation, repo: string, branch: string): boolean {
  const heads = [branch, 'master'].map(
    (name) =>
      rows.get<{ readonly head: string }>('SELECT head FROM branches WHERE repo = ? AND name = ?', [
        repo,
        name,
      ])?.head,
  )
  return heads[0] !== undefined && heads[0] === heads[1]
}

/** Rows fit each other, and every chunk that is referred to is there. */
async function checkWhole(simulation: Simulation): Promise<void> {
  await simulation.untilDone('check the store', async () => {
    const { server, events } = simulation
    const options = { full: true, fix: false, exclusive: true }
    const run = new CheckRun(options, new AbortController().signal, async (finding) => {
      simulation.break(`fsck: ${finding.kind.name}: ${finding.what}`)
    })
    const clock = simulatedClock(events, { isOver: false })
    const ports = { ...server, clock, run }
    await checkPipelinesRows(ports)
    await checkVersioningRows(ports)
    await walkRoots(server.chunks, server.sources)
    await checkVersioningSizes(ports)
    await checkBaseJobs(ports)
  })
}
