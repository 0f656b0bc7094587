import { SystemClock } from '../base/clock.ts'
import { SystemRandom } from '../base/random.ts'
import { openSqlite } from '../database/sqlite.ts'
import { openDataDirectory } from '../server/data-directory.ts'
import { migrations } from '../server/migrations.ts'
import { upgradeStore } from '../server/store-upgrades.ts'

const older = migrations.map((known) =>
  known.layer === 'versioning' ? { ...known, steps: known.steps.slice(0, -1) } : known,
)

/** A data directory that the release before has made. */
export async function makeOlder(root: string): Promise<void> {
  await using directory = await openDataDirectory(root, new SystemRandom())
  const { metadata: path, store } = directory
  const clock = new SystemClock()
  await using _ = await openSqlite({ path, migrations: older, clock, release: '0', store })
  await directory.settle()
}

/** What is said of a data directory, or while it is upgraded or taken back. */
export async function upgradeLines(
  root: string,
  kind: 'look' | 'upgrade' | 'undo',
): Promise<string> {
  const lines: string[] = []
  const wish = { root, kind, environment: {}, log: () => undefined }
  for await (const line of upgradeStore(wish)) lines.push(line)
  return lines.join('\n')
}
