import { expect, test } from 'vitest'

import { UnavailableError } from '../base/errors.ts'
import { HeldClock } from '../testing/held-clock.ts'
import { ChoosingExecutor } from './choosing.ts'

test('whoever asks for a diagnosis does not wait for all the time that an engine has to answer', async () => {
  const clock = new HeldClock()
  let openCount = 0
  const executor = await ChoosingExecutor.open({
    choice: 'container',
    process: {} as never,
    openContainers: async () => {
      openCount += 1
      if (openCount > 1) await new Promise(() => {})
      throw new UnavailableError('it hung before')
    },
    clock,
  })
  clock.advance(5000)
  const diagnosis = executor.diagnoseEngine()
  clock.advance(5000)
  expect(await diagnosis).toMatchObject({
    isOpen: false,
    text: expect.stringContaining('it hung before'),
  })
  expect(openCount).toBe(2)
})
