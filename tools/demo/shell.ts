import { spawn } from 'node:child_process'
import { join } from 'node:path'
import type { Screen } from './screen.ts'

export class CommandFailedError extends Error {
  override readonly name = 'CommandFailedError'
}

/** Someone pressed Ctrl-C. */
export class StoppedError extends Error {
  override readonly name = 'StoppedError'
}

export interface RunOptions {
  /** Print what the command prints, too. */
  readonly showOutput?: boolean
}

/** Runs lines of shell in the project's directory, as a person with `bin` in the PATH would. */
export class Shell {
  readonly #screen: Screen
  readonly #project: string
  readonly #environment: Readonly<Record<string, string | undefined>>
  readonly #signal: AbortSignal

  constructor(options: {
    readonly screen: Screen
    readonly project: string
    readonly address: string
    readonly signal: AbortSignal
  }) {
    this.#screen = options.screen
    this.#project = options.project
    this.#signal = options.signal
    this.#environment = {
      ...process.env,
      ADDRESS: options.address,
      PATH: `${join(options.project, 'bin')}:${process.env['PATH'] ?? ''}`,
    }
  }

  /** Shows `line`, runs it, and returns what it wrote to standard output. @throws {CommandFailedError} */
  async run(line: string, options: RunOptions = {}): Promise<string> {
    if (this.#signal.aborted) throw new StoppedError()
    this.#screen.command(line)
    const output = await this.#spawn(line)
    if (options.showOutput === true && output !== '') this.#screen.output(output)
    return output
  }

  #spawn(line: string): Promise<string> {
    return new Promise((resolve, reject) => {
      // On a terminal its own progress bars are seen; else what it says is kept for the error.
      const progress = this.#screen.isTerminal ? 'inherit' : 'pipe'
      const child = spawn('sh', ['-c', line], {
        cwd: this.#project,
        env: this.#environment,
        stdio: ['ignore', 'pipe', progress],
      })
      let output = ''
      let complaint = ''
      child.stdout?.setEncoding('utf8').on('data', (text: string) => (output += text))
      child.stderr?.setEncoding('utf8').on('data', (text: string) => (complaint += text))
      const stop = (): void => void child.kill('SIGTERM')
      this.#signal.addEventListener('abort', stop, { once: true })
      child.once('error', reject)
      child.once('close', (code, signal) => {
        this.#signal.removeEventListener('abort', stop)
        if (this.#signal.aborted) reject(new StoppedError())
        else if (code === 0) resolve(output)
        else {
          const why = complaint.trim() === '' ? '' : `: ${complaint.trim()}`
          reject(new CommandFailedError(`this ended with ${signal ?? code}: ${line}${why}`))
        }
      })
    })
  }
}
