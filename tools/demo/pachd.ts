import { spawn, type ChildProcess } from 'node:child_process'
import { dirname, join } from 'node:path'

const readyPattern = /^pachd is ready on (.*:\d+), data in /m
const infoLine = /^\S+ info /

/** pachd ended before it was ready; the message is its own. */
export class PachdFailedError extends Error {
  override readonly name = 'PachdFailedError'
}

/** `bin/pachd` in a process group of its own, so that Ctrl-C does not reach it before us. */
export class Pachd implements AsyncDisposable {
  readonly address: string
  /** Resolves when it has ended, for whatever reason. */
  readonly ended: Promise<void>
  readonly #child: ChildProcess

  private constructor(child: ChildProcess, address: string, ended: Promise<void>) {
    this.#child = child
    this.address = address
    this.ended = ended
  }

  /** Warnings and errors of its log go to `onWarning`. @throws {PachdFailedError} */
  static async start(options: {
    readonly project: string
    readonly root: string
    readonly address: string
    readonly onWarning: (line: string) => void
  }): Promise<Pachd> {
    // The demonstration's code runs on the Node that runs this, for the system may have an older one.
    const programs = ['--program-path', dirname(process.execPath)]
    const args = ['--root', options.root, '--address', options.address, ...programs]
    const child = spawn(join(options.project, 'bin/pachd'), args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    const ready = Promise.withResolvers<string>()
    let isReady = false
    let output = ''
    let held = ''
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      output += text
      const address = readyPattern.exec(output)?.[1]
      if (address === undefined || isReady) return
      isReady = true
      ready.resolve(address)
    })
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      const lines = (held + text).split('\n')
      held = lines.pop() ?? ''
      for (const line of lines.filter((one) => !infoLine.test(one))) {
        if (isReady) options.onWarning(line)
        else output += `${line}\n`
      }
    })
    const ended = new Promise<void>((resolve) => {
      child.once('error', (error) => {
        output += error.message
        resolve()
      })
      child.once('close', () => resolve())
    })
    void ended.then(() => ready.reject(new PachdFailedError(output.trim())))
    const address = await ready.promise
    return new Pachd(child, address, ended)
  }

  /** As `kill` does: running calls end first. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null)
      this.#child.kill('SIGTERM')
    await this.ended
  }
}
