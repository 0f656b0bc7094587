import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'

import {
  CancelledError,
  FailedPreconditionError,
  UnavailableError,
  assert,
} from '../../base/errors.ts'
import type { SlotSecrets } from '../../pipelines/executor.ts'
import { childrenOf, descendantsOf } from './child-processes.ts'
import { FifoReader } from './fifo.ts'
import { AnswerLines, parseAnswer, type RunnerAnswer } from './runner-answers.ts'
import { secretArchive, secretVariables } from './secret-files.ts'
import type { SlotDirectory } from './slot-directory.ts'

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
  readonly directory: SlotDirectory
  readonly hiddenDirectories: readonly string[]
  /** Directories that are shown without sockets. */
  readonly listeningDirectories: readonly string[]
  readonly secrets: SlotSecrets
  readonly command: readonly string[]
  readonly limits: SandboxLimits
  readonly onStdout: (bytes: Buffer) => void
  readonly onStderr: (bytes: Buffer) => void
}

/** Where the sandbox's own tools are looked for. */
export const toolPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
const boundedScript = fileURLToPath(new URL('bounded.sh', import.meta.url))
const setupScript = fileURLToPath(new URL('sandbox.sh', import.meta.url))
const complaintBytesMax = 4096

type CommandLine = readonly [string, ...string[]]

interface Waiting<Value> {
  readonly resolve: (value: Value) => void
  readonly reject: (reason: Error) => void
}

interface WaitingRun extends Waiting<RunnerAnswer> {
  readonly nonce: string
}

/**
 * A set of namespaces with the runner as its process 1. It ends with this process: the kernel kills
 * it when its parent dies, whichever way.
 *
 * @throws {FailedPreconditionError} with the tools' own words when this machine does not allow it.
 */
export async function openSandbox(options: SandboxOptions, signal: AbortSignal): Promise<Sandbox> {
  const sandbox = new Sandbox(options, commandLine(options))
  const abort = (): void => sandbox.kill()
  signal.addEventListener('abort', abort, { once: true })
  try {
    if (signal.aborted) abort()
    await sandbox.ready
    return sandbox
  } catch (error) {
    await sandbox[Symbol.asyncDispose]()
    if (signal.aborted) throw new CancelledError('opening the sandbox was cancelled')
    throw error
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

/**
 * Ends as the runner; its process has one child, which is process 1 of the sandbox. The inner
 * `unshare` gives that one's children a namespace of their own. The session is for programs that
 * signal their process group, which would be this process's, too.
 */
function commandLine(options: SandboxOptions): CommandLine {
  const { directory, hiddenDirectories, listeningDirectories, secrets, command } = options
  const enter = ['setpriv', '--pdeathsig', 'KILL', '--', ...boundedBy(options.limits)] as const
  const unshare = ['unshare', '--mount', '--pid', '--ipc', '--fork', '--kill-child', '--']
  const apart = ['setsid', 'unshare', '--pid', '--'] as const
  const setup = [
    ...apart,
    'sh',
    setupScript,
    directory.path,
    ...listeningDirectories,
    '--',
    ...hiddenDirectories,
    '--',
    ...secrets.directories.map(({ path }) => path),
    '--',
    ...command,
  ]
  if (options.mode === 'root') return [...enter, ...unshare, ...setup]
  // The parent-death signal is asked for inside the user namespace: entering one forgets it.
  return ['unshare', '--user', '--map-root-user', '--', ...enter, ...unshare, ...setup]
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
  readonly #control: Writable
  readonly #outputs: readonly FifoReader[]
  readonly #ended: Promise<void>
  readonly #answers = new AnswerLines()
  /** Processes of the sandbox's own. */
  #own: ReadonlySet<number> = new Set()
  #hasEnded = false
  #isBroken = false
  #complaint = ''
  #waiting: WaitingRun | undefined
  #becomingReady: Waiting<void> | undefined

  /** Use `openSandbox`. */
  constructor(options: SandboxOptions, [program, ...rest]: CommandLine) {
    this.#outputs = [
      new FifoReader(options.directory.stdoutFifo, options.onStdout),
      new FifoReader(options.directory.stderrFifo, options.onStderr),
    ]
    this.#child = spawn(program, rest, {
      cwd: '/',
      env: {
        PATH: toolPath,
        LANG: 'C',
        PROCESS_COUNT_MAX: String(options.limits.processCount),
        ...secretVariables(options.secrets),
      },
      // Its own session: the terminal's interrupt is for the server, which then ends its sandboxes.
      detached: true,
      stdio: ['pipe', 'ignore', 'pipe', 'pipe', 'pipe'],
    })
    const [control, , complaints, answers, secrets] = this.#child.stdio
    assert(secrets instanceof Writable, 'the sandbox is told its secrets')
    secrets.on('error', () => {})
    secrets.end(secretArchive(options.secrets))
    assert(control instanceof Writable, 'the runner is written to')
    assert(complaints instanceof Readable && answers instanceof Readable, 'the runner is read from')
    this.#control = control
    control.on('error', () => {})
    complaints.on('data', (bytes: Buffer) => {
      if (this.#complaint.length < complaintBytesMax) this.#complaint += bytes.toString()
    })
    answers.on('data', (bytes: Buffer) => this.#takeAnswers(bytes))
    this.ready = new Promise<void>((resolve, reject) => {
      this.#becomingReady = { resolve, reject }
    })
    this.#ended = new Promise<void>((resolve) => {
      const end = (reason: string): void => {
        this.#end(reason)
        resolve()
      }
      this.#child.once('error', (error) => end(error.message))
      // After the streams, so that what the tools said is known.
      this.#child.once('close', () => end(lastLine(this.#complaint) || 'it ended without a word'))
    })
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
      this.#control.write(`${nonce}\n`)
    })
  }

  /** Numbers of user code's processes, as the host has them. */
  userProcesses(): readonly number[] {
    return this.#processes().filter((pid) => !this.#own.has(pid))
  }

  /** Hands on what has been printed. */
  takeOutput(): void {
    for (const output of this.#outputs) output.drain()
  }

  #processes(): readonly number[] {
    const { pid, exitCode, signalCode } = this.#child
    return pid === undefined || exitCode !== null || signalCode !== null ? [] : descendantsOf(pid)
  }

  /** Kills everything in the sandbox, at once. */
  kill(): void {
    const { pid, exitCode, signalCode } = this.#child
    // Only the kernel is asked whom to kill, never the runner, which user code might have subverted.
    if (pid === undefined || exitCode !== null || signalCode !== null) return
    // Killing process 1 rather than its parent: the parent ends only when the whole namespace has.
    const first = childrenOf(pid)
    if (first.length === 0) this.#child.kill('SIGKILL')
    else for (const child of first) killQuietly(child)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill()
    await this.#ended
    for (const output of this.#outputs) output[Symbol.dispose]()
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

  #end(reason: string): void {
    this.#hasEnded = true
    // All that ran in it is dead, too.
    this.takeOutput()
    // What is wrong with a place of the pipeline's choice is not about the machine.
    const isOfPipeline = reason.startsWith('mount_path ')
    const text = isOfPipeline ? reason : `no sandbox: ${reason}`
    this.#becomingReady?.reject(new FailedPreconditionError(text))
    this.#becomingReady = undefined
    this.#waiting?.reject(new UnavailableError('the sandbox ended while the datum ran'))
    this.#waiting = undefined
  }
}

/** The first tool of util-linux that is in no directory of `path`. */
export function missingTool(path: string): string | undefined {
  const directories = path.split(':')
  return ['unshare', 'setsid', 'setpriv', 'mount', 'umount', 'pivot_root', 'ipcrm'].find(
    (tool) => !directories.some((directory) => existsSync(join(directory, tool))),
  )
}

/** The tools' last word is why they gave up. */
function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? ''
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}
