import { spawn, type ChildProcess } from 'node:child_process'
import { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'

import {
  CancelledError,
  FailedPreconditionError,
  UnavailableError,
  assert,
} from '../../base/errors.ts'
import { FifoReader } from './fifo.ts'
import type { SlotDirectory } from './slot-directory.ts'

/** `root` needs the right to mount; `user` gets it in a user namespace of its own. */
export type SandboxMode = 'root' | 'user'

export interface SandboxOptions {
  readonly mode: SandboxMode
  readonly directory: SlotDirectory
  readonly hiddenDirectories: readonly string[]
  readonly command: readonly string[]
  readonly onStdout: (bytes: Buffer) => void
  readonly onStderr: (bytes: Buffer) => void
}

/** What the runner answers to one datum. */
export type RunnerAnswer =
  | { readonly kind: 'exit'; readonly exitCode: number }
  | { readonly kind: 'missing' }
  | { readonly kind: 'unstartable' }

const toolPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
const setupScript = fileURLToPath(new URL('sandbox.sh', import.meta.url))
const complaintBytesMax = 4096

interface Waiting<Value> {
  readonly resolve: (value: Value) => void
  readonly reject: (reason: Error) => void
}

/**
 * A set of namespaces with the runner as its process 1. It ends with this process: the kernel kills
 * it when its parent dies, whichever way.
 *
 * @throws {FailedPreconditionError} with the tools' own words when this machine does not allow it.
 */
export async function openSandbox(options: SandboxOptions, signal: AbortSignal): Promise<Sandbox> {
  const sandbox = new Sandbox(options)
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

function commandLine(options: SandboxOptions): readonly [string, ...string[]] {
  const { directory, hiddenDirectories, command } = options
  const enter = ['setpriv', '--pdeathsig', 'KILL', '--'] as const
  const unshare = ['unshare', '--mount', '--pid', '--ipc', '--fork', '--kill-child', '--']
  const setup = ['sh', setupScript, directory.path, ...hiddenDirectories, '--', ...command]
  if (options.mode === 'root') return [...enter, ...unshare, ...setup]
  // The parent-death signal is asked for inside the user namespace: entering one forgets it.
  return ['unshare', '--user', '--map-root-user', '--', ...enter, ...unshare, ...setup]
}

export class Sandbox implements AsyncDisposable {
  readonly ready: Promise<void>
  readonly #child: ChildProcess
  readonly #control: Writable
  readonly #outputs: readonly FifoReader[]
  readonly #ended: Promise<void>
  #hostPid: number | undefined
  #hasEnded = false
  #complaint = ''
  #answerText = ''
  #waiting: Waiting<RunnerAnswer> | undefined
  #becomingReady: Waiting<void> | undefined

  constructor(options: SandboxOptions) {
    this.#outputs = [
      new FifoReader(options.directory.stdoutFifo, options.onStdout),
      new FifoReader(options.directory.stderrFifo, options.onStderr),
    ]
    const [program, ...rest] = commandLine(options)
    this.#child = spawn(program, rest, {
      cwd: '/',
      env: { PATH: toolPath, LANG: 'C' },
      // Its own session: the terminal's interrupt is for the server, which then ends its sandboxes.
      detached: true,
      stdio: ['pipe', 'ignore', 'pipe', 'pipe'],
    })
    const [control, , complaints, answers] = this.#child.stdio
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
   * Runs the command once; the output streams end with a line `nonce`.
   *
   * @throws {UnavailableError} when the sandbox ended meanwhile, or could not be cleaned.
   */
  run(nonce: string): Promise<RunnerAnswer> {
    assert(/^[0-9a-f]+$/.test(nonce), 'a nonce is hex digits')
    return new Promise<RunnerAnswer>((resolve, reject) => {
      assert(this.#waiting === undefined, 'a sandbox runs one datum at a time')
      if (this.#hasEnded) {
        reject(new UnavailableError('the sandbox has ended'))
        return
      }
      this.#waiting = { resolve, reject }
      this.#control.write(`${nonce}\n`)
    })
  }

  /** Kills everything in the sandbox, at once. */
  kill(): void {
    if (this.#hasEnded) return
    // Killing process 1 rather than its parent: the parent ends only when the whole namespace has.
    if (this.#hostPid === undefined) this.#child.kill('SIGKILL')
    else killQuietly(this.#hostPid)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill()
    await this.#ended
    for (const output of this.#outputs) output[Symbol.dispose]()
  }

  #takeAnswers(bytes: Buffer): void {
    const lines = (this.#answerText + bytes.toString()).split('\n')
    this.#answerText = lines.pop() ?? ''
    for (const line of lines) this.#takeAnswer(line)
  }

  #takeAnswer(line: string): void {
    const [word, number] = line.split(' ')
    if (word === 'ready') {
      this.#hostPid = Number(number)
      this.#becomingReady?.resolve()
      this.#becomingReady = undefined
      return
    }
    const waiting = this.#waiting
    this.#waiting = undefined
    if (word === 'exit') waiting?.resolve({ kind: 'exit', exitCode: Number(number) })
    else if (word === 'missing' || word === 'unstartable') waiting?.resolve({ kind: word })
    else waiting?.reject(new UnavailableError('the sandbox could not be cleaned after the datum'))
  }

  #end(reason: string): void {
    this.#hasEnded = true
    this.#becomingReady?.reject(new FailedPreconditionError(`no sandbox: ${reason}`))
    this.#becomingReady = undefined
    this.#waiting?.reject(new UnavailableError('the sandbox ended while the datum ran'))
    this.#waiting = undefined
  }
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
