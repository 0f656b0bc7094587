import { Writable } from 'node:stream'
import { expect, test } from 'vitest'
import { HeldClock } from '../../testing/held-clock.ts'
import { Output } from '../../base/output.ts'
import { Progress } from './progress.ts'

const mib = 1024 * 1024

class Terminal extends Writable {
  readonly isTTY: boolean = true
  text = ''

  override _write(bytes: Buffer, _: string, done: () => void): void {
    this.text += bytes.toString()
    done()
  }

  /** What the line shows now. */
  get line(): string {
    return this.text.split('\r\u001b[K').at(-1) ?? ''
  }
}

function started(): { terminal: Terminal; clock: HeldClock; progress: Progress } {
  const terminal = new Terminal()
  const clock = new HeldClock()
  return { terminal, clock, progress: new Progress({ err: new Output(terminal), clock }, 'put') }
}

test('how far a file of known size is, and how long the rest will take', async () => {
  const { terminal, clock, progress } = started()
  progress.expect({ fileCount: 1, sizeBytes: 400 * mib })
  clock.advance(2000)
  progress.addBytes(100 * mib)
  expect(terminal.line).toBe(
    'put [======>                 ]  25% 100MiB of 400MiB, 50MiB/s, 6.0 s left',
  )
  clock.advance(6000)
  progress.addBytes(300 * mib)
  expect(terminal.line).toBe('put [========================] 100% 400MiB of 400MiB, 50MiB/s')
  progress.addFile()
  await progress.end()
  expect(terminal.line).toBe('put 1 file, 400MiB in 8.0 s, 50MiB/s\n')
})

test('files and bytes are counted where nobody knows how many there will be', async () => {
  const { terminal, clock, progress } = started()
  clock.advance(500)
  progress.addBytes(mib)
  expect(terminal.line).toBe('put 1MiB, 2MiB/s')
  clock.advance(500)
  progress.addFile()
  expect(terminal.line).toBe('put 1 file, 1MiB, 1MiB/s')
})

test('what was there already counts as done, and not as moved', async () => {
  const { terminal, clock, progress } = started()
  progress.expect({ fileCount: 4, sizeBytes: 8 * mib })
  clock.advance(1000)
  progress.skipBytes(4 * mib)
  expect(terminal.line).toBe('put [============>           ]  50% 0 of 4 files, 4MiB of 8MiB')
  clock.advance(1000)
  progress.addBytes(2 * mib)
  expect(terminal.line).toBe(
    'put [==================>     ]  75% 0 of 4 files, 6MiB of 8MiB, 1MiB/s, 2.0 s left',
  )
})

test('nobody but a person at a terminal is told', async () => {
  const { terminal, clock } = started()
  const file = Object.assign(new Terminal(), { isTTY: false as const })
  const progress = new Progress({ err: new Output(file), clock }, 'put')
  clock.advance(1000)
  progress.addBytes(mib)
  await progress.end()
  expect([file.text, terminal.text]).toEqual(['', ''])
})
