import { type ChildProcess, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { delimiter, join } from 'node:path'

import { isTested } from '../../src/testing/left-out.ts'

export interface ProgramOptions {
  readonly directory: string
  /** Added to that of the tests; undefined takes a variable away. */
  readonly environment?: Readonly<Record<string, string | undefined>>
}

/** Of some peers, by name, those that tests are to meet: not everybody's machine has all of them. */
export function peersHere<Peer extends { readonly isInstalled: boolean }>(
  peers: Readonly<Record<string, Peer>>,
): readonly (readonly [string, Peer])[] {
  return Object.entries(peers).filter(([, peer]) => isTested(peer.isInstalled))
}

/** Whether a program of this name would be found. */
export function isOnPath(name: string): boolean {
  const directories = (process.env['PATH'] ?? '').split(delimiter)
  return directories.some((directory) => existsSync(join(directory, name)))
}

function missing(name: string, cause: unknown): Error {
  return new Error(`${name} cannot be run; .ci/run says what tests need to be installed`, { cause })
}

/** A program of others' that runs beside a test, and ends with it. */
export class ChildProgram implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #name: string
  #output = ''
  #failure: Error | undefined

  constructor(
    name: string,
    args: readonly string[],
    { directory, environment = {} }: ProgramOptions,
  ) {
    this.#name = name
    this.#child = spawn(name, args, { cwd: directory, env: { ...process.env, ...environment } })
    const keep = (text: Buffer): void => {
      this.#output = (this.#output + text.toString()).slice(-4000)
    }
    this.#child.stdout?.on('data', keep)
    this.#child.stderr?.on('data', keep)
    this.#child.on('error', (error) => {
      this.#failure = missing(name, error)
    })
  }

  /** @throws {Error} when it has ended, with what it printed last. */
  requireRunning(): void {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#child.exitCode === null) return
    throw new Error(`${this.#name} ended with ${this.#child.exitCode}: ${this.#output}`)
  }

  /** Resolves when it has ended. */
  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const { exitCode, pid, signalCode } = this.#child
    if (exitCode !== null || signalCode !== null || pid === undefined) return
    const ended = new Promise<void>((resolve) => this.#child.once('close', () => resolve()))
    this.#child.kill(signal)
    await ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end('SIGKILL')
  }
}

/** Runs a program to its end. @throws {Error} with what it printed, when it fails. */
export async function runProgram(
  name: string,
  args: readonly string[],
  { directory, environment }: ProgramOptions,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const env = environment === undefined ? process.env : { ...process.env, ...environment }
    const child = spawn(name, args, { cwd: directory, env })
    let output = ''
    child.stdout.on('data', (text: Buffer) => (output += text.toString()))
    child.stderr.on('data', (text: Buffer) => (output += text.toString()))
    child.on('error', (error) => reject(missing(name, error)))
    child.on('close', (code) => {
      if (code === 0) resolve(output)
      else reject(new Error(`${name} ${args[0] ?? ''} failed with ${code}: ${output}`))
    })
  })
}

/**
 * A port that is free now. It is none of those that systems give to whom any is right: what asks for one of
 * these meanwhile does not get it.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    // Below, there are some that no browser's `fetch` calls.
    const port = randomInt(11_000, 30_000)
    if (await isFree(port)) return port
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  const isListening = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => resolve(true))
  })
  if (isListening) await new Promise<void>((resolve) => server.close(() => resolve()))
  return isListening
}

const pollMs = 100

/** Waits until something answers by HTTP at `url`, as long as `program` runs. */
export async function untilAnswering(url: string, program: ChildProgram): Promise<void> {
  for (;;) {
    program.requireRunning()
    const answer = await fetch(url).catch(() => undefined)
    await answer?.body?.cancel()
    if (answer !== undefined) return
    await new Promise((resolve) => setTimeout(resolve, pollMs))
  }
}
