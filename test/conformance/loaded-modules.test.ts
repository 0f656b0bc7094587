import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildPachd, oneDoor } from '../harness/child-pachd.ts'
import { notedModulesVariable } from '../harness/noted-modules.ts'
import { TestClient } from '../harness/test-pachd.ts'

/** The files of the project, and the packages, that a server loads until it has answered `use`. */
async function modulesFor(
  use: (client: TestClient) => Promise<unknown>,
): Promise<readonly string[]> {
  await using directory = await TemporaryDirectory.create()
  const noted = directory.join('modules')
  const hook = new URL('../harness/noted-modules.ts', import.meta.url)
  await using child = new ChildPachd(oneDoor(directory.join('data')), {
    environment: {
      [notedModulesVariable]: noted,
      NODE_OPTIONS: `--import ${hook.href}`,
      PACHD_CONTAINER_ENGINE: 'unix:///nonexistent/engine.sock',
    },
  })
  {
    await using client = new TestClient(await child.ready)
    await use(client)
  }
  child.signal('SIGTERM')
  await child.exit
  const urls = (await readFile(noted, 'utf8')).split('\n')
  return urls.filter((url) => url.startsWith('file:'))
}

/** What most servers never need: each is loaded when somebody asks for it. */
const onDemand: readonly RegExp[] = [
  /\/src\/backups\//,
  /\/src\/sources\//,
  /\/src\/legacy\/(?!old-place)/,
  /\/src\/migration\/migrations/,
  /\/src\/(node-)?client\//,
  /\/src\/mount\//,
  /\/src\/targets\/(?!exports)/,
  /\/src\/clouds\/(?!store-reach)/,
  /\/src\/api\/s3\//,
  /\/src\/executors\/containers\/(?!engine-errors)/,
  /\/src\/server\/bucket\/(?!bucket-note)/,
  /\/src\/(versioning|pipelines)\/checks\//,
  /\/src\/versioning\/splitting\//,
  /\/src\/storage\/(checks|bucket-|staged-objects)/,
  /\/node_modules\/(?!@bufbuild\/protobuf\/)/,
]

function loaded(modules: readonly string[], pattern: RegExp): readonly string[] {
  return modules.filter((url) => pattern.test(url))
}

test('a server that starts loads what all servers need, and the rest when it is asked for', async () => {
  const atStart = await modulesFor((client) => client.pfs.listRepo({}))
  for (const pattern of onDemand) expect(loaded(atStart, pattern)).toEqual([])
  // A hundred milliseconds of each start are some two hundred modules.
  expect(atStart.length).toBeLessThan(670)

  const later = await modulesFor(async (client) => {
    for await (const _ of client.admin.check({})) continue
    await client.migrations.abandonMigration({})
  })
  expect(loaded(later, /\/src\/versioning\/checks\//).length).toBeGreaterThan(0)
  expect(loaded(later, /\/src\/migration\/migrations/)).toHaveLength(1)
})
