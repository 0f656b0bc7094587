import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { equal } from 'node:assert/strict'

/**
 * Runs a program that works until it is killed, kills it when it has said `lineCount` lines, and
 * hands on every line: those that it has said meanwhile, too.
 */
export async function runUntilKilled(
  program: string,
  args: readonly string[],
  lineCount: number,
  onLine: (line: string) => void,
): Promise<void> {
  const child = spawn(process.execPath, [program, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  let left = lineCount
  for await (const line of createInterface(child.stdout)) {
    onLine(line)
    left -= 1
    if (left === 0) child.kill('SIGKILL')
  }
  const [, signal] = await exited
  equal(signal, 'SIGKILL')
}
