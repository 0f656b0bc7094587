import { inspect } from 'node:util'
import { collectBytes, utf8, utf8Text } from '../base/bytes.ts'
import { SystemClock, type Clock } from '../base/clock.ts'
import { ResourceExhaustedError } from '../base/errors.ts'
import { parseFilePath, pathKey } from '../base/paths.ts'
import { compareBytes } from '../base/bytes.ts'
import { SystemRandom } from '../base/random.ts'
import { patientRetries } from '../base/retries.ts'
import type { Database } from '../database/database.ts'
import type {
  DatumOutcome,
  DatumWork,
  DatumWorker,
  DatumWorkers,
} from '../pipelines/datum-worker.ts'
import { JobCommitUses } from '../pipelines/commit-uses.ts'
import { JobDownstream } from '../pipelines/downstream.ts'
import type { Transform } from '../pipelines/executor.ts'
import { noStats } from '../pipelines/process-stats.ts'
import { createProcessing, type Processing } from '../pipelines/processing.ts'
import type {
  RequestedAtom,
  RequestedInput,
  RequestedSpec,
  RequestedTransform,
} from '../pipelines/requested-specs.ts'
import { pipelinesMigrations } from '../pipelines/tables.ts'
import { Triggers } from '../pipelines/triggers.ts'
import { ChunkedContents } from '../storage/chunked-contents.ts'
import type { ChunkId, ChunkStore } from '../storage/chunks.ts'
import { FileTrees, type TreeEntry } from '../storage/file-trees.ts'
import { Leases } from '../storage/leases.ts'
import { MemoryChunkStore } from '../storage/memory-chunks.ts'
import { ProllyMaps } from '../storage/prolly-map.ts'
import { versioningMigrations } from '../versioning/tables.ts'
import { objectMigrations } from '../versioning/object-tables.ts'
import { transactionMigrations } from '../versioning/transaction-tables.ts'
import { createVersioning, type Versioning } from '../versioning/versioning.ts'
import type { OpenBuckets } from '../targets/export-run.ts'
import { Exports } from '../targets/exports.ts'
import { MemoryBucket } from './memory-bucket.ts'
import type { OpenedPackedStore } from './packed-store.ts'
import type { SecretKeys } from '../pipelines/secret-keys.ts'
import type { ServiceDoors } from '../pipelines/service-doors.ts'
import { MemorySecretKeys } from './memory-secret-keys.ts'
import { MemorySpools } from './memory-spools.ts'
import { temporaryDatabase } from './temporary-database.ts'

/** What a datum's input files are, as `<input><path>` → text. */
export type DatumFiles = ReadonlyMap<string, string>

/**
 * User code played by a function: gets the input files, and as `out<path>` what it finds as output;
 * returns output files to write (path → text). Throw to fail the datum; what is thrown as a string
 * is its reason.
 */
export type UserCode = (
  files: DatumFiles,
  work: DatumWork,
) => Readonly<Record<string, string>> | Promise<Readonly<Record<string, string>>>

/** Versioning and pipelines over a real database, with chunks in memory and user code in functions. */
export interface TestProcessing extends AsyncDisposable {
  readonly database: Database
  readonly versioning: Versioning
  readonly processing: Processing
  /** Input names and paths of the datums that ran, in the order in which they began. */
  readonly ran: string[]
  /** The code of pipelines whose `cmd` is `[name]`. */
  code(name: string, code: UserCode): void
  /** Makes the pipeline `name`, whose code was given by the same name. */
  pipeline(name: string, input: RequestedInput, more?: RequestedSpec): Promise<void>
  /** One finished commit on `master` of the repo; null deletes. Returns its id. */
  commit(repo: string, files: Readonly<Record<string, string | null>>): Promise<string>
  /** Waits for everything that follows from a commit. */
  flush(repo: string, commit: string): Promise<void>
  /** All files of a commit: path → text. */
  files(repo: string, commit: string): Promise<Readonly<Record<string, string>>>
  /** Lets the next flushes of the chunk store fail, as a full disk does; errors are then expected. */
  failFlushes(count: number): void
  /** What the scheduler met; whoever expects an error takes it out. */
  readonly errors: unknown[]
  /** Has something happen while the chunk store is flushed the next time. */
  duringNextFlush(happen: () => Promise<void>): void
  /** Stops the scheduler as a crash would, and starts another. */
  restart(): Promise<void>
}

/** Fails the datum whose code calls it. */
export function failDatum(reason: string): never {
  // eslint-disable-next-line typescript/only-throw-error -- an error would be one of the test's own
  throw reason
}

/** An atom input of the master branch. */
export function atom(repo: string, glob: string): { readonly atom: RequestedAtom } {
  return { atom: { name: '', repo, branch: '', glob, lazy: false, fromCommit: '' } }
}

/** The same under another name, or of another branch. */
export function atomNamed(
  repo: string,
  glob: string,
  more: { readonly name?: string; readonly branch?: string },
): { readonly atom: RequestedAtom } {
  const plain = { name: '', repo, branch: '', glob, lazy: false, fromCommit: '' }
  return { atom: { ...plain, ...more } }
}

const fileBytesMax = 1024 * 1024
/** What user code in functions has no use for. */
export const unusedParts = (): {
  readonly secretKeys: SecretKeys
  readonly serviceDoors: ServiceDoors
} => ({
  secretKeys: new MemorySecretKeys(),
  serviceDoors: {
    ownPorts: new Set(),
    open: async () => ({ [Symbol.asyncDispose]: async () => {} }),
  },
})

const migrations = [
  versioningMigrations,
  transactionMigrations,
  objectMigrations,
  pipelinesMigrations,
]

interface TestWorld {
  readonly TriggersOf?: typeof Triggers
  readonly clock?: Clock
  /** Of every URL that outputs are exported to. */
  readonly bucket?: MemoryBucket
  /** In place of those that run the functions given by `code`. */
  readonly workers?: DatumWorkers
}

/** Chunks in memory, or in the packs of a store that has the migrations of all layers. */
export async function openTestProcessing(
  packed?: Pick<OpenedPackedStore, 'database' | 'store'>,
  { TriggersOf = Triggers, clock = new SystemClock(), ...given }: TestWorld = {},
): Promise<TestProcessing> {
  await using opened = new AsyncDisposableStack()
  const { database } = packed ?? opened.use(await temporaryDatabase(migrations))
  const chunks = new FailingChunkStore(packed?.store ?? new MemoryChunkStore())
  const leases = packed?.store.leases ?? new Leases()
  const stores = { database, leases, spools: new MemorySpools(), ...storesOver(chunks) }
  const { contents } = stores
  const world = { clock, random: new SystemRandom() }
  const triggers = new TriggersOf(world)
  const versioning = createVersioning({
    ...stores,
    ...world,
    onHeadReady: (tx, heads) => triggers.onHeadReady(tx, heads),
    downstream: new JobDownstream(),
    uses: new JobCommitUses(stores),
  })
  const codes = new Map<string, UserCode>()
  const ran: string[] = []
  const workers = given.workers ?? new FunctionWorkers({ ...stores, codes, ran })
  const errors: unknown[] = []
  const log = { error: (text: string, cause: unknown) => errors.push(new Error(text, { cause })) }
  const bounds = { processorCount: 1, retryPauseMs: 1 }
  const exports = exportsTo(given.bucket ?? new MemoryBucket(), versioning)
  const parts = { triggers, versioning, workers, exports, ...unusedParts() }
  const ports = { ...stores, ...world, ...bounds, ...parts, log }
  const open = (): Processing => createProcessing(ports)
  let processing = open()
  start(processing)
  const held = opened.move()
  return {
    database,
    versioning,
    errors,
    get processing() {
      return processing
    },
    ran,
    code: (name, code) => codes.set(name, code),
    async pipeline(name, input, more = {}) {
      await processing.pipelines.create({ name, input, transform: transform(name), ...more })
    },
    commit: async (repo, files) => await commitFiles(versioning, repo, files),
    async flush(repo, commit) {
      const { signal } = new AbortController()
      const flushed = versioning.subscriptions.flush({ commits: [{ repo, commit }], signal })
      for await (const _ of flushed) continue
    },
    files: async (repo, commit) => await readFiles(versioning, contents, repo, commit),
    failFlushes: (count) => chunks.failFlushes(count),
    duringNextFlush: (happen) => chunks.duringNextFlush(happen),
    async restart() {
      await stop(processing)
      processing = open()
      start(processing)
    },
    async [Symbol.asyncDispose]() {
      await stop(processing)
      await held.disposeAsync()
      if (errors.length > 0 && !chunks.hasFailed)
        throw new AggregateError(errors, `the scheduler met ${inspect(errors)}`)
    },
  }
}

export function exportsTo(bucket: MemoryBucket, versioning: Versioning): Exports {
  const openBuckets = async (): Promise<OpenBuckets> => ({
    openToWrite: async () => bucket,
    [Symbol.dispose]: () => undefined,
  })
  // Whoever exports outputs tries again, too, and is what is tested.
  const retries = { ...patientRetries, attemptsMax: 1 }
  const requests = { clock: new SystemClock(), random: new SystemRandom(), retries }
  return new Exports({ ...versioning, ...requests, openBuckets, reach: 'any' })
}

function start({ scheduler, ticker }: Processing): void {
  scheduler.start()
  ticker.start()
}

async function stop({ scheduler, ticker }: Processing): Promise<void> {
  await ticker[Symbol.asyncDispose]()
  await scheduler[Symbol.asyncDispose]()
}

async function commitFiles(
  { commits, writes }: Versioning,
  repo: string,
  files: Readonly<Record<string, string | null>>,
): Promise<string> {
  const { id } = await commits.start({ repo, branch: 'master' })
  for (const [path, text] of Object.entries(files)) {
    const file = { repo, commit: id, path }
    if (text === null) await writes.delete(file)
    else await writes.put(file, utf8(text), { overwrite: true })
  }
  await commits.finish(repo, id)
  return id
}

function storesOver(chunks: ChunkStore): {
  readonly chunks: ChunkStore
  readonly contents: ChunkedContents
  readonly trees: FileTrees
  readonly maps: ProllyMaps
} {
  const maps = new ProllyMaps(chunks)
  return { chunks, contents: new ChunkedContents(chunks), trees: new FileTrees(chunks), maps }
}

/** Chunks whose flush fails when a test says so. */
class FailingChunkStore implements ChunkStore {
  readonly #chunks: ChunkStore
  #failCount = 0
  #happening: (() => Promise<void>) | undefined
  hasFailed = false

  constructor(chunks: ChunkStore) {
    this.#chunks = chunks
  }

  async get(id: ChunkId): Promise<Uint8Array> {
    return await this.#chunks.get(id)
  }

  async put(bytes: Uint8Array): Promise<ChunkId> {
    return await this.#chunks.put(bytes)
  }

  failFlushes(count: number): void {
    this.#failCount = count
  }

  duringNextFlush(happen: () => Promise<void>): void {
    this.#happening = happen
  }

  async flush(): Promise<void> {
    const happening = this.#happening
    this.#happening = undefined
    await happening?.()
    if (this.#failCount > 0) {
      this.#failCount -= 1
      this.hasFailed = true
      throw new ResourceExhaustedError('the disk is full')
    }
    await this.#chunks.flush()
  }
}

async function readFiles(
  versioning: Versioning,
  contents: ChunkedContents,
  repo: string,
  commit: string,
): Promise<Readonly<Record<string, string>>> {
  const found: Record<string, string> = {}
  for await (const { path, entry } of versioning.files.walk({ repo, commit, path: '' })) {
    if (entry.kind !== 'file') continue
    found[path] = utf8Text(await collectBytes(contents.read(entry.content), fileBytesMax))
  }
  return found
}

export function transform(
  name: string,
  more: Partial<RequestedTransform> = {},
): RequestedTransform {
  return {
    image: '',
    command: [name],
    stdinLines: [],
    environment: {},
    acceptedReturnCodes: [],
    secrets: [],
    imagePullSecrets: [],
    debug: false,
    ...more,
  }
}

interface FunctionWorld extends TreePorts {
  readonly codes: ReadonlyMap<string, UserCode>
  readonly ran: string[]
}

interface TreePorts {
  readonly trees: FileTrees
  readonly contents: ChunkedContents
}

class FunctionWorkers implements DatumWorkers {
  readonly #world: FunctionWorld

  constructor(world: FunctionWorld) {
    this.#world = world
  }

  placeOf(): string {
    return 'test'
  }

  async look(): Promise<void> {}

  notices(): readonly string[] {
    return []
  }

  async open({ command }: Transform): Promise<DatumWorker> {
    const world = this.#world
    return {
      process: async (work) => await processDatum(world, command[0] ?? '', work),
      [Symbol.asyncDispose]: async () => undefined,
    }
  }
}

async function processDatum(
  world: FunctionWorld,
  command: string,
  work: DatumWork,
): Promise<DatumOutcome> {
  const code = world.codes.get(command)
  if (code === undefined) throw new Error(`the test gave no code ${command}`)
  world.ran.push(work.members.map(({ input, path }) => `${input}:${path}`).join(' '))
  return await runFunction(world, code, work)
}

/** Runs a function as a worker runs user code. */
export async function runFunction(
  world: TreePorts,
  code: UserCode,
  work: DatumWork,
): Promise<DatumOutcome> {
  const files = new Map<string, string>()
  for (const { input, path, entry } of work.members) {
    await readInto(world, files, `${input}${path}`, entry)
  }
  if (work.formerOutput !== undefined) await readInto(world, files, 'out', work.formerOutput)
  try {
    using held = new DisposableStack()
    held.use(await work.place())
    const output = await code(files, work)
    work.onStoring?.()
    const before = work.formerOutput ?? (await world.trees.emptyRoot())
    const edits = []
    for (const [text, content] of Object.entries(output)) {
      const written = await world.contents.writeBytes(utf8(content))
      const entry: TreeEntry = { kind: 'file', content: written }
      edits.push({ path: parseFilePath(text), entry })
    }
    edits.sort((left, right) => compareBytes(pathKey(left.path), pathKey(right.path)))
    const root = await world.trees.edit(before, edits, { emptied: 'remove' })
    return { kind: 'success', output: root, stats: noStats }
  } catch (error) {
    if (typeof error === 'string') return { kind: 'failure', reason: error, stats: noStats }
    throw error
  }
}

async function readInto(
  world: TreePorts,
  files: Map<string, string>,
  name: string,
  entry: TreeEntry,
): Promise<void> {
  if (entry.kind === 'file') {
    files.set(name, utf8Text(await collectBytes(world.contents.read(entry.content), fileBytesMax)))
    return
  }
  for await (const found of world.trees.walk(entry)) {
    await readInto(world, files, `${name}${found.path}`, found.entry)
  }
}
