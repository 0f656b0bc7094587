import { PassThrough, Writable } from 'node:stream'
import { runPachctl } from '../../src/cli/pachctl.ts'
import { upgradeStore } from '../../src/server/store-upgrades.ts'
import type { PachctlRun } from '../golden/pachctl-run.ts'

/** Runs a command of pachctl in this process, which is faster than starting one. */
export async function pachctlHere(
  args: readonly string[],
  {
    port,
    home,
    environment,
    input,
  }: {
    readonly port: number
    readonly home: string
    readonly environment?: Readonly<Record<string, string>>
    readonly input?: Uint8Array
  },
): Promise<PachctlRun> {
  const [out, err] = [new Collector(), new Collector()]
  const stdin = new PassThrough()
  stdin.end(input)
  const code = await runPachctl(
    {
      argv: ['node', 'pachctl', ...args],
      env: { ...environment, ADDRESS: `127.0.0.1:${port}`, HOME: home },
      stdin,
      stdout: out,
      stderr: err,
    },
    { upgradeStore: () => Promise.resolve(upgradeStore) },
  )
  return { code, out: out.text, err: err.text }
}

/** Keeps what is written. */
export class Collector extends Writable {
  readonly #slices: Buffer[] = []
  readonly #onWritten: () => void

  constructor(onWritten: () => void = () => undefined) {
    super()
    this.#onWritten = onWritten
  }

  get text(): string {
    return Buffer.concat(this.#slices).toString()
  }

  override _write(slice: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#slices.push(slice)
    this.#onWritten()
    done()
  }
}
