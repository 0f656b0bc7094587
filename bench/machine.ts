import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus, loadavg, release, totalmem, version } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'

/** Where the numbers come from. */
export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGib: number
  readonly kernel: string
  readonly system: string
  readonly node: string
  /** File system and device below the benchmarks' directory. */
  readonly disk: string
  /** The commit that was measured, with a mark when files differ from it. */
  readonly revision: string
}

export function describeMachine(directory: string): Machine {
  const processors = cpus()
  return {
    cpu: processors[0]?.model ?? 'unknown',
    cores: processors.length,
    memoryGib: Math.round(totalmem() / 2 ** 30),
    kernel: `${release()} (${version()})`,
    system: /^PRETTY_NAME="(.*)"$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'unknown',
    node: process.version,
    disk: output('df', ['--output=fstype,source', directory]).split('\n')[1]?.trim() ?? 'unknown',
    revision: output('git', ['describe', '--always', '--dirty', '--abbrev=10']),
  }
}

/** The load of the last minute. */
export function currentLoad(): number {
  return Math.round((loadavg()[0] ?? 0) * 100) / 100
}

/** Waits until the machine has little else to do, or until `msMax` have passed. */
export async function waitForQuiet(loadBelow: number, msMax: number): Promise<void> {
  const startMs = performance.now()
  while (currentLoad() >= loadBelow && performance.now() - startMs < msMax) await sleep(1000)
}

function output(command: string, args: readonly string[]): string {
  return execFileSync(command, args, { encoding: 'utf8' }).trim()
}
