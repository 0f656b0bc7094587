import { expect } from 'vitest'
import { seededBytes } from '../../src/testing/seeded-random.ts'
import type { CheckFinding } from '../../src/gen/pachyderm_pb.ts'
import { collect, commitFiles, fileOf, getText } from './files.ts'
import { type TestClient, TestPachd } from './test-pachd.ts'

const fileCount = 8

/** The numbers of all files. */
export const allNumbers: readonly number[] = Array.from(
  { length: fileCount },
  (_, number) => number,
)

/** What is in the file of that number. */
export function textOf(number: number): string {
  return Buffer.from(seededBytes(number, 400_000)).toString('base64')
}

/** Makes a repo `data` of files `f0`, `f1` and so on, each of which has a commit and a pack of its own. */
export async function commitNumbered(client: TestClient): Promise<void> {
  await client.pfs.createRepo({ repo: { name: 'data' } })
  for (const number of allNumbers) {
    const files = { [`f${number}`]: textOf(number) }
    await commitFiles(client, { repo: 'data', branch: 'master' }, files)
  }
}

/** The numbers of the files that can be read; each of those is right. */
export async function readable(client: TestClient): Promise<readonly number[]> {
  const whole: number[] = []
  for (const number of allNumbers) {
    const text = await getText(client, fileOf('data', 'master', `f${number}`)).catch(
      () => undefined,
    )
    if (text === undefined) continue
    expect(text === textOf(number)).toBe(true)
    whole.push(number)
  }
  return whole
}

/** What a check finds. */
export async function findings(
  { admin }: TestClient,
  full: boolean,
): Promise<readonly CheckFinding[]> {
  const events = await collect(admin.check({ full }))
  return events.flatMap(({ event }) => (event.case === 'finding' ? [event.value] : []))
}

/** Starts a server on it that has all files, and nothing damaged. */
export async function expectWhole(root: string): Promise<void> {
  await using restored = await TestPachd.start({ root })
  expect(await readable(restored)).toEqual(allNumbers)
  expect(await findings(restored, true)).toEqual([])
}
