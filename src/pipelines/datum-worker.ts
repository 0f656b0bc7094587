import type { FilePath } from '../base/paths.ts'
import type { DirectoryEntry, TreeEntry } from '../storage/file-trees.ts'
import type { DatumRun, LogLine, OnWait, SlotSecrets, Transform } from './executor.ts'
import type { ProcessStats } from './process-stats.ts'

/**
 * What a datum gives to user code: a file or directory at `/pfs/<input><path>`. An environment
 * variable named like the input says where.
 */
export interface WorkMember {
  readonly input: string
  readonly path: FilePath
  readonly entry: TreeEntry
  /** Its files are named pipes, and what they hold is read when user code opens them. */
  readonly isLazy?: boolean
}

/** One attempt at a datum. */
export interface DatumWork {
  readonly members: readonly WorkMember[]
  /** What `/pfs/out` holds when the code begins; nothing when unset. */
  readonly formerOutput?: DirectoryEntry | undefined
  /** Added to the transform's environment. */
  readonly environment: Readonly<Record<string, string>>
  readonly onLine: (line: LogLine) => void
  readonly onLeftOut: (lineCount: number) => void
  readonly onWarming?: DatumRun['onWarming']
  /** Called before anything of the output is put: what is to keep it begins by then. */
  readonly onStoring?: () => void
  /** Waits until user code may run; dispose of what comes when it has ended. */
  readonly place: () => Promise<Disposable>
  readonly signal: AbortSignal
}

/** How an attempt ended. Chunks of `output` are stored, and durable after the store's next flush. */
export type DatumOutcome =
  | { readonly kind: 'success'; readonly output: DirectoryEntry; readonly stats: ProcessStats }
  /** User code failed: `reason` says how, in words for people. */
  | { readonly kind: 'failure'; readonly reason: string; readonly stats: ProcessStats }

/** Runs datums one at a time, keeping what is costly to set up. One that threw is disposed of. */
export interface DatumWorker extends AsyncDisposable {
  /** @throws {FailedPreconditionError} when no datum can succeed: the program does not exist. */
  process(work: DatumWork): Promise<DatumOutcome>
}

/** Where workers come from. */
export interface DatumWorkers {
  /** Finds out how this server runs code, unless that is known, as `Executor.look` does. */
  look(): Promise<void>
  /** One-line notices for people about how this server runs `transform`; often none. */
  notices(transform: Transform): readonly string[]
  /** Where user code of `transform` runs, for people. */
  placeOf(transform: Transform): string
  /**
   * Whatever the worker processes is given `secrets`.
   *
   * @throws {FailedPreconditionError} with advice when this machine cannot run `transform`.
   */
  open(
    transform: Transform,
    signal: AbortSignal,
    secrets?: SlotSecrets,
    onWait?: OnWait,
  ): Promise<DatumWorker>
}
