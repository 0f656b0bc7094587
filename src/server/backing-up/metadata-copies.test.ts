import { expect, test } from 'vitest'
import { Backup } from '../../backups/backup.ts'
import { encodeSnapshot, takenAtOf } from '../../backups/format.ts'
import { ObjectStorePlace } from '../../backups/object-store-place.ts'
import { SystemRandom } from '../../base/random.ts'
import { MemoryObjectStore } from '../../storage/memory-objects.ts'
import { msUntilDue } from './metadata-copies.ts'

const msPerMinute = 60_000
const microsPerMinute = 1000 * msPerMinute
const everyMs = 60 * msPerMinute
const takenAt = 1_795_716_587_123_456

async function backupOf(...times: readonly number[]): Promise<Backup> {
  const place = new ObjectStorePlace('memory', new MemoryObjectStore())
  const backup = await Backup.openOrCreate(place, { random: new SystemRandom() })
  for (const at of times) {
    const { name, bytes } = encodeSnapshot({
      scope: 'metadata',
      takenAt: at,
      release: '0',
      store: 'a'.repeat(32),
      layers: {},
      metadata: undefined,
      packs: [],
      damaged: [],
    })
    expect(takenAtOf(name)).toBe(at)
    await backup.write(`snapshots/${name}`, bytes)
  }
  return backup
}

function ages(...minutes: readonly number[]): readonly number[] {
  return minutes.map((age) => takenAt - age * microsPerMinute)
}

test('a copy is due when the newest is as old as may be, or there is none', async () => {
  const clock = { now: () => takenAt }
  expect(await msUntilDue(await backupOf(), everyMs, clock)).toBe(0)
  expect(await msUntilDue(await backupOf(...ages(200, 60)), everyMs, clock)).toBe(0)
  expect(await msUntilDue(await backupOf(...ages(200, 20)), everyMs, clock)).toBe(40 * msPerMinute)
  // The clock was set back.
  expect(await msUntilDue(await backupOf(...ages(200, -20)), everyMs, clock)).toBe(0)
})
