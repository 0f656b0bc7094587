import { Writable } from 'node:stream'
import { expect, test } from 'vitest'
import { Output } from '../../base/output.ts'
import { HeldClock } from '../../testing/held-clock.ts'
import { PlanProgressLines } from './plan-progress.ts'

class Screen extends Writable {
  readonly isTTY: boolean
  text = ''

  constructor(isTTY: boolean) {
    super()
    this.isTTY = isTTY
  }

  override _write(bytes: Buffer, _: string, done: () => void): void {
    this.text += bytes.toString()
    done()
  }
}

function started(isTerminal: boolean): {
  readonly screen: Screen
  readonly clock: HeldClock
  readonly progress: PlanProgressLines
} {
  const [screen, clock] = [new Screen(isTerminal), new HeldClock()]
  const progress = new PlanProgressLines({ err: new Output(screen), clock })
  return { screen, clock, progress }
}

test('at a terminal, how far a plan is takes the place of what was told before', async () => {
  const { screen, progress } = started(true)
  await progress.show(1000n)
  await progress.show(1_312_000n)
  progress.clear()
  expect(screen.text.split('\r\u001b[K')).toEqual([
    '',
    'counting datums: 1,000 so far',
    'counting datums: 1,312,000 so far',
    '',
  ])
})

test('elsewhere, a line every ten seconds says that a plan goes on', async () => {
  const { screen, clock, progress } = started(false)
  for (const datums of [1000n, 2000n, 3000n, 4000n]) {
    await progress.show(datums)
    clock.advance(5000)
  }
  progress.clear()
  expect(screen.text).toBe('counting datums: 3,000 so far\n')
})
