import type { Instant } from '../base/clock.ts'
import { DomainError } from '../base/errors.ts'

/**
 * Where user code runs. An executor opens slots; a slot runs one datum at a time, in a sandbox that
 * stays warm between datums and in which nothing survives the end of a datum.
 */
export interface Executor extends AsyncDisposable {
  readonly name: ExecutorName
  /** Where user code of `transform` runs, for people: `process`, `container (Docker 27.1)`. */
  placeOf(transform: Transform): string
  /**
   * Finds out how this executor runs code, unless that is known: before, `notices` lacks what depends on it. Takes
   * a few seconds at most, and never fails; what takes longer goes on.
   */
  look(): Promise<void>
  /** One-line notices about what this executor does with `transform`, for people; often none. */
  notices(transform: Transform): readonly string[]
  /**
   * Every run of the slot is given `secrets`; others get another slot. They never touch a disk, a log,
   * an error or a command line.
   *
   * @throws {FailedPreconditionError} with advice when this machine cannot run `transform`, or cannot
   *   give it `secrets`.
   */
  openSlot(
    transform: Transform,
    signal: AbortSignal,
    secrets?: SlotSecrets,
    onWait?: OnWait,
  ): Promise<Slot>
}

/** Called with what is waited for from now on, in words for people: `pulling image a`. */
export type OnWait = (what: string) => void

/** What user code is given of secrets. */
export interface SlotSecrets {
  /** Added to the environment of every run: names as shells have them. */
  readonly environment: Readonly<Record<string, string>>
  /** Directories that user code sees read-only, whatever the machine has there. */
  readonly directories: readonly SecretDirectory[]
}

export interface SecretDirectory {
  /** Absolute, without `.`, `..` or control characters. */
  readonly path: string
  /** By name: one that leads nowhere but into the directory. For the eyes of user code alone (0400). */
  readonly files: ReadonlyMap<string, Uint8Array>
}

export const noSecrets: SlotSecrets = { environment: {}, directories: [] }

export const executorNames = ['process', 'container'] as const
export type ExecutorName = (typeof executorNames)[number]

/** The user's code and its surroundings: the same for every datum of a pipeline. */
export interface Transform {
  /** Whose it is; nothing of it is shown to user code. */
  readonly pipeline?: string
  readonly image: string
  /** Names of secrets with logins for the registry of the image. */
  readonly imagePullSecrets?: readonly string[]
  /** Unset: the server decides. */
  readonly executor?: ExecutorName
  readonly command: readonly string[]
  /** The command stays, and is handed one datum after the other; it has no lines of standard input. */
  readonly isWarm?: true
  /** Lines for standard input, each without its newline. */
  readonly stdinLines: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  /** Exit codes besides 0 that count as success. */
  readonly acceptedReturnCodes: readonly number[]
  /** What a slot may use at most. What is not given is bounded by what the executor gives to all. */
  readonly resources?: SlotResources
}

/** 0 stands for what is not given. */
export interface SlotResources {
  /** Processors: 0.5 is half the time of one. */
  readonly cpu: number
  readonly memoryBytes: number
  /** Graphics processors. */
  readonly gpu: number
}

/** What executors bound in every slot, whatever its pipeline says. */
export interface SlotBounds {
  /** Processes and threads of a datum at one time. */
  readonly processCountMax: number
  /** So long it may go on trying to start more than that; 5000 where it is not said. */
  readonly refusedMsMax?: number
  /** What a datum may have on disk of the server's: in `/pfs/out` and temporary files, together. */
  readonly diskBytesMax?: number
}

/** User code used up what a bound of its slot allows, and was ended for it: the datum fails. */
export class SlotBoundError extends DomainError {
  override readonly name = 'SlotBoundError'
  readonly kind = 'resource-exhausted'
}

/** A warm command did not keep to the rules, and was ended for it: the datum fails. */
export class WarmCommandError extends DomainError {
  override readonly name = 'WarmCommandError'
  readonly kind = 'failed-precondition'
}

/** Others go on writing to a datum's files after its end, who can only have got there by its doing: the datum fails. */
export class StillWrittenError extends DomainError {
  override readonly name = 'StillWrittenError'
  readonly kind = 'failed-precondition'

  constructor() {
    super(
      'the files of the datum cannot be removed, since others write to them after its command has ended: ' +
        'user code must not hand its /pfs/out or its directories of temporary files to another datum',
    )
  }
}

export interface Slot extends AsyncDisposable {
  /**
   * A directory on the host, in one that is the slot's own and out of user code's sight, that user code sees as `/pfs` during the next run. It holds nothing but
   * `directories`. The worker fills `<input>/…` and `out/` before `run`, and reads `out/` after it.
   */
  readonly pfsDirectory: string
  /**
   * Directories that an earlier run has left in `pfsDirectory`, without files: each as a path below
   * it that begins with a slash.
   */
  readonly directories: ReadonlySet<string>
  /** The absolute path at which user code sees `pfsDirectory`: `/pfs`, or itself without a sandbox. */
  readonly pfsPath: string
  /**
   * Whether user code can change nothing below `pfsDirectory` but what is in `out`, and that not by
   * another name: files there may then be links to files that others have, too.
   */
  readonly isInputReadOnly: boolean
  /** Files to be written anew as inputs, where that is possible. */
  readonly spares?: SpareInputs | undefined
  /** False when it is certain without a look that nothing came into an empty `out` in the last run. */
  readonly mayHaveOutput: boolean
  /** Makes ready what a `run` in this environment, the next one, needs: it then begins sooner. */
  prepare(environment: DatumRun['environment']): void
  /**
   * Runs the command once and waits for its end. When it resolves no process of the datum is left.
   * A warm command is started if need be, handed the datum, and stopped when it has answered: when
   * it resolves, none of its processes runs. An abort kills the command and rejects with
   * `CancelledError`.
   *
   * @throws {FailedPreconditionError} when the program does not exist or cannot be started.
   * @throws {SlotBoundError} when user code had to be ended.
   * @throws {WarmCommandError}
   */
  run(run: DatumRun, signal: AbortSignal): Promise<RunResult>
  /**
   * Empties `pfsDirectory`, but for `directories`; quicker when it is told all that the worker has put
   * there. A slot is broken, to be disposed of, once `reset` threw, or `run` threw anything but
   * `FailedPreconditionError`.
   *
   * @throws {StillWrittenError}
   */
  reset(placed?: PlacedInputs): Promise<void>
}

/** What a worker has put into `pfsDirectory`, each as a path below it that begins with a slash. */
export interface PlacedInputs {
  /** Small files that nobody else has, which can become spares. */
  readonly copies: readonly string[]
  readonly otherFiles: readonly string[]
  /** With those that were there before, and `out`; not what is in `out`. */
  readonly directories: ReadonlySet<string>
}

/** Files that were inputs of earlier datums. */
export interface SpareInputs {
  /**
   * Moves one to `path`, where nothing is, and opens it for writing; undefined when there is none. It holds what
   * it held before.
   */
  take(path: string): number | undefined
}

export interface DatumRun {
  /** Added to the transform's environment: `PACH_JOB_ID` and the like. */
  readonly environment: Readonly<Record<string, string>>
  /** Called for each line of output as it comes, without its newline. */
  readonly onLine: (line: LogLine) => void
  /**
   * Called with a number of lines that are left out, of output that is too much; the last ones of
   * each stream are always handed on.
   */
  readonly onLeftOut: (lineCount: number) => void
  /** Called when it is waited for a warm command to say that it is ready, and when that is over. */
  readonly onWarming?: (isWarming: boolean) => void
}

export interface LogLine {
  readonly at: Instant
  readonly stream: 'stdout' | 'stderr'
  readonly text: string
  /** The line as it was, where it is not UTF-8: `text` has replacement characters then. */
  readonly bytes?: Uint8Array
}

export interface RunResult {
  /** The exit code; 128 + the signal's number when a signal ended it, as shells say it. */
  readonly exitCode: number
  /** A bound that user code came up against, or a program that could not be started, in words for people: it may be why it failed. */
  readonly bound?: string
}
