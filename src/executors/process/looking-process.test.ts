import { expect, test } from 'vitest'

import { UnavailableError } from '../../base/errors.ts'
import { HeldClock } from '../../testing/held-clock.ts'
import { LookingProcess } from './looking-process.ts'

test('what is looked at when it ends is given up, and what is asked then is not looked at', async () => {
  const clock = new HeldClock()
  const looking = new LookingProcess(clock)
  expect(await looking.look('programFault', ['/bin/sh', ''], 1000)).toBeUndefined()
  const pending = looking.look('programFault', ['/usr', ''], 1000)
  const queued = looking.look('programFault', ['/usr', ''], 1000)
  looking[Symbol.dispose]()
  await expect(pending).rejects.toThrow(UnavailableError)
  await expect(queued).rejects.toThrow(UnavailableError)
  await expect(looking.look('programFault', ['/usr', ''], 1000)).rejects.toThrow(UnavailableError)
  expect(looking.isWarm).toBe(false)
  expect(clock.sleeperCount).toBe(0)
})
