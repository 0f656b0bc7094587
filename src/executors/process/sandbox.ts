import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, constants, openSync } from 'node:fs'
import { isAbsolute } from 'node:path'
import { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'

import { type Clock, waitAtMost } from '../../base/clock.ts'
import { FailedPreconditionError, UnavailableError, assert } from '../../base/errors.ts'
import { shortageError } from '../../base/shortages.ts'
import type { SlotSecrets } from '../../pipelines/executor.ts'
import { type FilterLoader, filteredBy } from './call-filter.ts'
import { childrenOf, descendantsOf } from './child-processes.ts'
import { stoppedMax } from './stopping.ts'
import { requireDescriptors } from './descriptors.ts'
import { FifoReader } from './fifo.ts'
import { isBelow } from './hidden-places.ts'
import { PipeWriter } from './pipe-writer.ts'
import { type RawPath, tableField } from './raw-paths.ts'
import type { RemoteMounts } from './remote-mounts.ts'
import { AnswerLines, parseAnswer, type RunnerAnswer } from './runner-answers.ts'
import { secretArchive, secretVariables } from './secret-files.ts'
import { SandboxLateError } from './sandbox-late-error.ts'
import { complaintText, isForbidden, isOfPipeline, namespaceCountsMax } from './sandbox-faults.ts'
import type { SlotDirectory } from './slot-directory.ts'
import { unlessAborted } from './unless-aborted.ts'

/** Processes of the sandbox that are not user code's, at most. */
const ownMax = 8

/** `root` needs the right to mount; `user` gets it in a user namespace of its own. */
export type SandboxMode = 'root' | 'user'

export interface SandboxLimits {
  /** Files to which a process writes its number to be bounded. */
  readonly groupEntries: readonly string[]
  /** Memory of each process, where no group bounds it; 0 for no bound. */
  readonly dataBytes: number
  /** Processes of one user, where no group bounds them; 0 for no bound. */
  readonly processCount: number
}

export interface SandboxOptions {
  readonly mode: SandboxMode
  /** Keeps user code from the kernel's keys, and from user namespaces; nothing does without. */
  readonly filterLoader: FilterLoader | undefined
  readonly directory: SlotDirectory
  readonly hiddenDirectories: readonly RawPath[]
  /** Directories that are shown without sockets, and without what is left out. */
  readonly coveredDirectories: readonly RawPath[]
  /** Paths of files. */
  readonly leftOut: readonly RawPath[]
  readonly secrets: SlotSecrets
  readonly command: readonly string[]
  readonly limits: SandboxLimits
  readonly clock: Clock
  readonly onStdout: (bytes: Buffer) => void
  readonly onStderr: (bytes: Buffer) => void
}

const usualToolPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
/**
 * Not there: what is not shown in the sandbox, or is user code's own. And where NixOS has the programs that change
 * their user, which work for nobody in a user namespace.
 */
const noToolPlaces = ['/root', '/home', '/tmp', '/var/tmp', '/dev', '/pfs', '/run/wrappers']

/** Where the sandbox's own tools are looked for: some systems have them where only `serverPath` tells. */
export function toolPathOf(serverPath: string): string {
  const others = serverPath
    .split(':')
    .filter((path) => isAbsolute(path) && !noToolPlaces.some((place) => isBelow(path, place)))
  return Array.from(new Set([...usualToolPath.split(':'), ...others])).join(':')
}

/** As for this server. */
export const toolPath: string = toolPathOf(process.env['PATH'] ?? '')
const boundedScript = fileURLToPath(new URL('bounded.sh', import.meta.url))
const setupScript = fileURLToPath(new URL('sandbox.sh', import.meta.url))
/** A machine under load makes one in seconds. */
const readyMsMax = 30_000
/** Who waits for a disk that does not answer does not end, though killed: that one is waited for no longer. */
const endMsMax = 5000
/** Of what the tools say, the end tells why they gave up. */
const complaintLengthMax = 4096

type CommandLine = readonly [string, ...string[]]

interface Waiting<Value> {
  readonly resolve: (value: Value) => void
  readonly reject: (reason: Error) => void
}

interface WaitingRun extends Waiting<RunnerAnswer> {
  readonly nonce: string
}

/** This machine, or this user's rights on it, do not allow a sandbox, now or later. */
export class SandboxForbiddenError extends FailedPreconditionError {
  override readonly name = 'SandboxForbiddenError'
}

/**
 * A set of namespaces with the runner as its process 1. It ends with this process: the kernel kills
 * it when its parent dies, whichever way.
 *
 * @throws {SandboxForbiddenError} with the tools' own words when this machine does not allow it.
 * @throws {FailedPreconditionError} when the pipeline asks for what no sandbox has.
 * @throws {UnavailableError} with the tools' own words when it failed this time, or took too long.
 */
export async function openSandbox(
  options: SandboxOptions,
  remoteMounts: RemoteMounts,
  signal: AbortSignal,
): Promise<Sandbox> {
  const { clock } = options
  const sandbox = new Sandbox(options, commandLine(options))
  const timer = new AbortController()
  const late = clock.sleep(readyMsMax, timer.signal).then(async () => {
    throw new SandboxLateError(`no sandbox: ${await remoteMounts.lateText(readyMsMax)}`)
  })
  late.catch(() => {})
  try {
    const ready = Promise.race([sandbox.ready, late])
    await unlessAborted(ready, signal, 'opening the sandbox was cancelled')
    return sandbox
  } catch (error) {
    await sandbox[Symbol.asyncDispose]()
    throw error
  } finally {
    timer.abort()
  }
}

/**
 * Ends as the runner; its process has one child, which is process 1 of the sandbox. The inner
 * `unshare` gives that one's children a namespace of their own. The session is for programs that
 * signal their process group, which would be this process's, too. `setup` is the script that builds it.
 */
export function commandLine(options: SandboxOptions, setup: string = setupScript): CommandLine {
  const { directory, hiddenDirectories, coveredDirectories, leftOut, secrets, command } = options
  const enter = [
    'setpriv',
    '--pdeathsig',
    'KILL',
    '--',
    ...filteredBy(options.filterLoader),
    ...boundedBy(options.limits),
  ] as const
  const unshare = ['unshare', '--mount', '--pid', '--ipc', '--fork', '--kill-child', '--']
  const apart = ['setsid', 'unshare', '--pid', '--'] as const
  const build = [
    ...apart,
    'sh',
    setup,
    directory.path,
    ...leftOut.map(tableField),
    '--',
    ...coveredDirectories.map(tableField),
    '--',
    ...hiddenDirectories.map(tableField),
    '--',
    ...secrets.directories.map(({ path }) => path),
    '--',
    ...command,
  ]
  if (options.mode === 'root') return [...enter, ...unshare, ...build]
  // The parent-death signal is asked for inside the user namespace: entering one forgets it.
  return ['unshare', '--user', '--map-root-user', '--', ...enter, ...unshare, ...build]
}

/** The beginning of a command line that bounds what comes after it; empty when nothing does. */
export function boundedBy({ groupEntries, dataBytes }: SandboxLimits): readonly string[] {
  if (groupEntries.length === 0 && dataBytes === 0) return []
  const kibibytes = Math.ceil(dataBytes / 1024)
  return ['/bin/sh', boundedScript, String(kibibytes), ...groupEntries, '--']
}

export class Sandbox implements AsyncDisposable {
  readonly ready: Promise<void>
  readonly #child: ChildProcess
  readonly #clock: Clock
  readonly #pipes: Disposable
  readonly #nonces: PipeWriter
  readonly #runner: FifoReader
  readonly #outputs: readonly FifoReader[]
  readonly #ended = Promise.withResolvers<void>()
  readonly #answers = new AnswerLines()
  /** Processes of the sandbox's own. */
  #own: ReadonlySet<number> = new Set()
  #hasEnded = false
  #isKilled = false
  #isBroken = false
  #complaint = ''
  #waiting: WaitingRun | undefined
  #becomingReady: Waiting<void> | undefined

  /** Use `openSandbox`. */
  constructor(options: SandboxOptions, [program, ...rest]: CommandLine) {
    const { directory, clock } = options
    this.#clock = clock
    using opened = new DisposableStack()
    this.#outputs = [
      opened.use(new FifoReader(directory.stdoutFifo, options.onStdout)),
      opened.use(new FifoReader(directory.stderrFifo, options.onStderr)),
    ]
    // Pipes with names: those that Node makes are sockets, which cost a shell that reads byte by byte more.
    this.#nonces = opened.use(new PipeWriter(directory.noncesFifo))
    this.#runner = opened.use(
      new FifoReader(directory.answersFifo, (bytes) => this.#takeAnswers(bytes)),
    )
    this.#child = startProgram(program, rest, options)
    this.ready = new Promise<void>((resolve, reject) => {
      this.#becomingReady = { resolve, reject }
    })
    // Who opens it may have heard of another reason.
    this.ready.catch(() => {})
    this.#child.once('error', (error) =>
      this.#end(
        shortageError(error) === undefined
          ? new UnavailableError(`no sandbox: ${error.message}`)
          : error,
      ),
    )
    // After the streams, so that what the tools said is known.
    this.#child.once('close', (_, killedBy) =>
      this.#end(endReason(options.mode, this.#complaint, killedBy)),
    )
    this.#talk(options.secrets)
    this.#pipes = opened.move()
  }

  /**
   * Runs the command once; when it settles, all output has been handed on. Nobody but the runner
   * knows `nonce`, with which it answers.
   *
   * @throws {UnavailableError} when the sandbox ended meanwhile, or could not be cleaned.
   */
  run(nonce: string): Promise<RunnerAnswer> {
    assert(/^[0-9a-f]{16,32}$/.test(nonce), 'a nonce is hex digits, too many to guess')
    return new Promise<RunnerAnswer>((resolve, reject) => {
      assert(this.#waiting === undefined, 'a sandbox runs one datum at a time')
      if (this.#hasEnded || this.#isBroken) {
        reject(new UnavailableError('the sandbox has ended'))
        return
      }
      this.#waiting = { nonce, resolve, reject }
      // Nothing of user code's is there yet.
      if (this.#own.size === 0) this.#own = new Set(this.#processes())
      void this.#nonces.write(`${nonce}\n`, this.#clock, () => !this.#hasEnded)
    })
  }

  /** Numbers of user code's processes, as the host has them: all, or more than can be stopped. */
  userProcesses(): readonly number[] {
    return this.#processes().filter((pid) => !this.#own.has(pid))
  }

  /** What it shows as `/`, for who looks at it from here; undefined when it has ended. */
  get root(): string | undefined {
    const { pid, exitCode, signalCode } = this.#child
    if (pid === undefined || exitCode !== null || signalCode !== null) return undefined
    const [first] = childrenOrNone(pid)
    return first === undefined ? undefined : `/proc/${first}/root`
  }

  /** Hands on what has been printed. */
  takeOutput(): void {
    for (const output of this.#outputs) output.drain()
  }

  #processes(): readonly number[] {
    const { pid, exitCode, signalCode } = this.#child
    if (pid === undefined || exitCode !== null || signalCode !== null) return []
    return descendantsOf(pid, stoppedMax + ownMax)
  }

  /** Kills everything in the sandbox, at once. From then on no user code runs, even where something does not end. */
  kill(): void {
    if (!this.#isKilled) void this.#waitForEnd()
    this.#isKilled = true
    const { pid, exitCode, signalCode } = this.#child
    // Only the kernel is asked whom to kill, never the runner, which user code might have subverted.
    if (pid === undefined || exitCode !== null || signalCode !== null) return
    // Killing process 1 rather than its parent: the parent ends only when the whole namespace has.
    const first = childrenOrNone(pid)
    if (first.length === 0) this.#child.kill('SIGKILL')
    else for (const child of first) killQuietly(child)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill()
    await this.#ended.promise
    this.#pipes[Symbol.dispose]()
  }

  async #waitForEnd(): Promise<void> {
    await waitAtMost(this.#clock, endMsMax, this.#ended.promise)
    if (this.#hasEnded) return
    this.#end(
      new UnavailableError(
        'no sandbox: its processes do not end though they are killed: a disk that they wait for does not answer',
      ),
    )
    this.#letGo()
  }

  #talk(told: SlotSecrets): void {
    // None, when there were no descriptors for them: then comes an error.
    const stdio: ChildProcess['stdio'] | undefined = this.#child.stdio
    if (stdio === undefined) return
    const [, , complaints, , secrets] = stdio
    assert(secrets instanceof Writable, 'the sandbox is told its secrets')
    secrets.on('error', () => {})
    secrets.end(secretArchive(told))
    assert(complaints instanceof Readable, 'the tools are heard')
    complaints.on('data', (bytes: Buffer) => {
      this.#complaint = (this.#complaint + bytes.toString()).slice(-complaintLengthMax)
    })
  }

  /** Waits for its processes no more, nor keeps this one from ending. */
  #letGo(): void {
    this.#child.unref()
    const stdio: ChildProcess['stdio'] | undefined = this.#child.stdio
    for (const stream of stdio ?? []) stream?.destroy()
  }

  #takeAnswers(bytes: Buffer): void {
    if (this.#isBroken) return
    const lines = this.#answers.push(bytes)
    if (lines === undefined) this.#break()
    else for (const line of lines) this.#takeAnswer(line)
  }

  #takeAnswer(line: string): void {
    const waiting = this.#waiting
    if (line === 'ready' && this.#becomingReady !== undefined) {
      this.#becomingReady.resolve()
      this.#becomingReady = undefined
      return
    }
    const answer = waiting === undefined ? undefined : parseAnswer(line, waiting.nonce)
    if (answer === undefined) {
      this.#break()
      return
    }
    this.#waiting = undefined
    // Whoever wrote is dead: what they wrote is in the pipes.
    this.takeOutput()
    waiting?.resolve(answer)
  }

  /** The runner gave up, or somebody else speaks for it. */
  #break(): void {
    this.#isBroken = true
    this.#waiting?.reject(
      new UnavailableError(
        'the sandbox could not be cleaned after the datum, or was tampered with',
      ),
    )
    this.#waiting = undefined
    this.kill()
  }

  #end(reason: Error): void {
    if (this.#hasEnded) return
    this.#runner.drain()
    this.#hasEnded = true
    // All that ran in it is dead, too.
    this.takeOutput()
    this.#becomingReady?.reject(reason)
    this.#becomingReady = undefined
    this.#waiting?.reject(new UnavailableError('the sandbox ended while the datum ran'))
    this.#waiting = undefined
    this.#ended.resolve()
  }
}

function startProgram(
  program: string,
  args: readonly string[],
  { mode, directory, limits, secrets }: SandboxOptions,
): ChildProcess {
  using passed = new DisposableStack()
  const pass = (path: string, flags: number): number =>
    passed.adopt(openSync(path, flags), closeSync)
  const nonces = pass(directory.noncesFifo, constants.O_RDONLY)
  const answers = pass(directory.answersFifo, constants.O_WRONLY)
  requireDescriptors()
  return spawn(program, args, {
    cwd: '/',
    env: {
      PATH: toolPath,
      LANG: 'C',
      SANDBOX_MODE: mode,
      PROCESS_COUNT_MAX: String(limits.processCount),
      ...secretVariables(secrets),
    },
    // Its own session: the terminal's interrupt is for the server, which then ends its sandboxes.
    detached: true,
    stdio: [nonces, 'ignore', 'pipe', answers, 'pipe'],
  })
}

/** Why a sandbox was not ready before it ended; whoever is killed has not said why. */
function endReason(mode: SandboxMode, complaint: string, killedBy: string | null): Error {
  const text = complaintText(complaint)
  if (isOfPipeline(text)) return new FailedPreconditionError(text)
  if (killedBy !== null) {
    const said = text === '' ? '' : `; before, it said: ${text}`
    return new UnavailableError(`no sandbox: it was ended by ${killedBy}${said}`)
  }
  const reason = `no sandbox: ${text || 'it ended without a word'}`
  return isForbidden(complaint, namespaceCountsMax(mode))
    ? new SandboxForbiddenError(reason)
    : new UnavailableError(reason)
}

/** None, too, when there are no descriptors to look with. */
function childrenOrNone(pid: number): readonly number[] {
  try {
    return childrenOf(pid)
  } catch (error) {
    if (shortageError(error) === undefined) throw error
    return []
  }
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}
