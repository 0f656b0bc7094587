import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** What a pachctl process did. */
export interface PachctlRun {
  readonly out: string
  readonly err: string
  readonly code: number | null
}

export interface PachctlOptions {
  /** HOST:PORT of pachd. */
  readonly address: string
  readonly home: string
  /** Where it runs. */
  readonly directory: string
  readonly input?: string
  /** Of the environment, beside those that are needed. */
  readonly variables?: Readonly<Record<string, string>>
}

const program = fileURLToPath(new URL('../../bin/pachctl', import.meta.url))

const runMsMax = 240_000

/** What a program of ours is started with, whatever else there is: all share one cache of compiled code. */
export function launching(): NodeJS.ProcessEnv {
  const { PATH, NODE_COMPILE_CACHE } = process.env
  return { PATH, NODE_COMPILE_CACHE }
}

/** Runs `bin/pachctl` to its end. */
export async function runPachctl(
  args: readonly string[],
  { address, home, directory, input = '', variables = {} }: PachctlOptions,
): Promise<PachctlRun> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: directory,
      env: { ...launching(), HOME: home, ADDRESS: address, ...variables },
    })
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`pachctl ${args.join(' ')} did not end; it printed: ${out}${err}`))
    }, runMsMax)
    let out = ''
    let err = ''
    child.stdout.on('data', (text: Buffer) => (out += text.toString()))
    child.stderr.on('data', (text: Buffer) => (err += text.toString()))
    child.stdin.on('error', () => undefined) // it may end without reading
    child.stdin.end(input)
    child.on('error', reject)
    child.on('close', (code) => {
      clearTimeout(timer)
      resolve({ out, err, code })
    })
  })
}
