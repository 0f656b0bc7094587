import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { RpcError } from '../../src/client/rpc-error.ts'
import { seededBytes } from '../../src/testing/seeded-random.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildPachd, oneDoor } from '../harness/child-pachd.ts'
import { collect, commitFiles, fileOf, getText } from '../harness/files.ts'
import { pachctlHere } from '../harness/pachctl-here.ts'
import { TestClient, TestPachd } from '../harness/test-pachd.ts'

const pachctlProgram = fileURLToPath(new URL('../../bin/pachctl', import.meta.url))

let directory: TemporaryDirectory
let source: TestPachd
beforeEach(async () => {
  directory = await TemporaryDirectory.create()
  source = await TestPachd.start()
  await source.pfs.createRepo({ repo: { name: 'data' } })
  for (let number = 0; number < 12; number += 1) {
    const text = Buffer.from(seededBytes(number, 500_000)).toString('base64')
    await commitFiles(source, { repo: 'data', branch: 'master' }, { [`f${number}`]: text })
  }
})
afterEach(async () => {
  await source[Symbol.asyncDispose]()
  await directory[Symbol.asyncDispose]()
})

/** Runs pachctl as a process, which is killed once `isTime` says so; resolves when it has ended. */
async function killed(args: readonly string[], port: number, isTime: () => Promise<boolean>) {
  const child = spawn(pachctlProgram, args, {
    stdio: 'ignore',
    env: { ...process.env, ADDRESS: `127.0.0.1:${port}`, HOME: directory.path },
  })
  const ended = once(child, 'exit')
  let isOver = false
  void ended.then(() => (isOver = true))
  await expect
    .poll(async () => isOver || (await isTime()), { interval: 1, timeout: 60_000 })
    .toBe(true)
  child.kill('SIGKILL')
  await ended
}

async function countIn(path: string): Promise<number> {
  const names = await readdir(path, { recursive: true }).catch(() => [])
  return names.filter((name) => /[0-9a-f]{64}$/.test(name)).length
}

test('pachctl killed in the middle of backups leaves what the next one goes on with', async () => {
  const backup = directory.join('backup')
  const packs = join(backup, 'packs')
  const { port } = source
  for (const count of [1, 4, 9]) {
    await killed(
      ['extract', '--directory', backup],
      port,
      async () => (await countIn(packs)) >= count,
    )
    expect(await countIn(packs)).toBeGreaterThanOrEqual(count)
  }
  const before = await countIn(packs)
  const run = await pachctlHere(['extract', '--directory', backup], { port, home: '/' })
  expect(run).toMatchObject({ code: 0, err: '' })
  const written = Number(/wrote (\d+) objects?/.exec(run.out)?.[1])
  // What had come is not written again: what is left of the packs, of the metadata, and the snapshot.
  expect(written).toBeLessThanOrEqual((await countIn(packs)) - before + 2)
  const verified = await pachctlHere(['verify-backup', '--directory', backup], { port, home: '/' })
  expect(verified.out).toContain(' whole; read ')
  expect(verified.code).toBe(0)
})

test('pachctl killed in the middle of restores leaves an empty server, and the next one goes on', async () => {
  const backup = directory.join('backup')
  await pachctlHere(['extract', '--directory', backup], { port: source.port, home: '/' })
  const root = directory.join('new')
  await using child = new ChildPachd(oneDoor(root))
  const port = await child.ready
  await using client = new TestClient(port)
  const packs = join(root, 'objects', 'packs')
  for (const count of [1, 5]) {
    const args = ['restore', '--directory', backup]
    await killed(args, port, async () => (await countIn(packs)) >= count)
  }
  const run = await pachctlHere(['restore', '--directory', backup], { port, home: '/' })
  // It may have come to its end before it was killed.
  expect(`${run.out}${run.err}`).toMatch(/restored snapshot|has repos already/)
  const text = Buffer.from(seededBytes(11, 500_000)).toString('base64')
  expect((await getText(client, fileOf('data', 'master', 'f11'))) === text).toBe(true)
  const events = await collect(client.admin.check({ full: true }))
  expect(events.filter(({ event }) => event.case === 'finding')).toEqual([])
})

test('a server killed in the middle of a pull shows nothing of it, and the next pull has all', async () => {
  const root = directory.join('here')
  const address = `127.0.0.1:${source.port}`
  for (const wanted of [1n, 5n]) {
    await using child = new ChildPachd(oneDoor(root))
    await using client = new TestClient(await child.ready)
    expect((await client.pfs.listRepo({})).repoInfo).toEqual([])
    const pulling = async (): Promise<void> => {
      for await (const { event } of client.transfers.pull({ address, repos: ['data'] })) {
        if (event.case === 'progress' && event.value.commitsDone >= wanted) child.signal('SIGKILL')
      }
    }
    await expect(pulling()).rejects.toBeInstanceOf(RpcError)
    await child.exit
  }
  await using server = await TestPachd.start({ root })
  await collect(server.transfers.pull({ address, repos: ['data'] }))
  const [mine, theirs] = await Promise.all(
    [server, source].map(async ({ pfs }) => await pfs.listCommit({ repo: { name: 'data' } })),
  )
  expect(mine?.commitInfo.map(({ commit, tree }) => [commit?.id, tree?.hash])).toEqual(
    theirs?.commitInfo.map(({ commit, tree }) => [commit?.id, tree?.hash]),
  )
  const events = await collect(server.admin.check({ full: true }))
  expect(events.filter(({ event }) => event.case === 'finding')).toEqual([])
})
