import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildPachd } from '../harness/child-pachd.ts'
import { putFiles } from '../../src/client/file-transfers.ts'
import { commitOf, fileOf, getText, putFile } from '../harness/files.ts'
import { Acknowledged, filesOf, killedRepo, writeUntilGone } from '../harness/killed-pachd.ts'
import { TestClient } from '../harness/test-pachd.ts'

/** More by hand: KILLED_ROUNDS=50 */
const roundCount = Number(process.env['KILLED_ROUNDS'] ?? 2)

function start(root: string): ChildPachd {
  return new ChildPachd(['--root', root, '--address', '127.0.0.1:0'])
}

/** The commit that the last server left open at the head of `master`, or a new one. */
async function openCommit({ pfs }: TestClient): Promise<string> {
  const master = commitOf(killedRepo, 'master')
  const head = await pfs.inspectCommit({ commit: master }).catch(() => undefined)
  if (head !== undefined && head.finished === undefined) return head.commit?.id ?? ''
  return (await pfs.startCommit({ parent: commitOf(killedRepo, ''), branch: 'master' })).id
}

/** What servers write before it has a name: of one that is dead, it must not stay. */
async function draftsIn(root: string): Promise<readonly string[]> {
  const scratch = await readdir(join(root, 'scratch'))
  const incoming = await readdir(join(root, 'objects', '.incoming'))
  return [...scratch.filter((name) => name.endsWith('.pack')), ...incoming]
}

/** What was acknowledged is there, and whatever is there is whole. */
async function expectNothingLost(client: TestClient, acknowledged: Acknowledged): Promise<void> {
  for (const [id, tree] of acknowledged.trees) {
    const info = await client.pfs.inspectCommit({ commit: commitOf(killedRepo, id) })
    expect(info.tree?.hash).toBe(tree)
  }
  const { paths, broken } = await filesOf(client, 'master')
  expect(broken).toEqual([])
  // Each commit has what its parent has, so that the head has all.
  for (const put of acknowledged.paths.values()) {
    expect([...put].filter((path) => !paths.has(path))).toEqual([])
  }
}

test(`a server killed in the middle of puts and finishes, ${roundCount} times`, async () => {
  await using directory = await TemporaryDirectory.create()
  const root = directory.join('data')
  const acknowledged = new Acknowledged()
  for (let round = 0; round < roundCount; round += 1) {
    await using child = start(root)
    await using client = new TestClient(await child.ready)
    const { pfs } = client
    if (round === 0) await pfs.createRepo({ repo: { name: killedRepo } })
    const wantedCount = acknowledged.count + 3 + ((round * 7) % 20)
    const watch = async (): Promise<void> => {
      await expect
        .poll(() => acknowledged.count, { interval: 1, timeout: 60_000 })
        .toBeGreaterThan(wantedCount)
      child.signal('SIGKILL')
    }
    const killed = watch()
    for (let turn = 0; ; turn += 1) {
      const commit = await openCommit(client).catch(() => '')
      if (commit === '') break
      const place = { commit, prefix: `${round}-${turn}`, fileCount: 16 }
      const writing = writeUntilGone(client, place, acknowledged)
      if (turn % 2 === 1) await writing
      const finishing = pfs
        .finishCommit({ commit: commitOf(killedRepo, commit) })
        .catch(() => undefined)
      await Promise.all([writing, finishing])
      const info = await pfs
        .inspectCommit({ commit: commitOf(killedRepo, commit) })
        .catch(() => undefined)
      if (info?.tree !== undefined) acknowledged.trees.set(commit, info.tree.hash)
    }
    await killed
    expect(await child.exit).toMatchObject({ signal: 'SIGKILL' })
    await using again = start(root)
    await using reader = new TestClient(await again.ready)
    expect(await draftsIn(root)).toEqual([])
    await expectNothingLost(reader, acknowledged)
  }
})

test('a server killed while it finishes a large commit: it is open with all its files, or finished with them', async () => {
  await using directory = await TemporaryDirectory.create()
  const root = directory.join('data')
  const fileCount = 1000
  const id = await prepare(root, fileCount)
  for (const acknowledgementsFirst of [0, 2]) {
    await using child = start(root)
    await using client = new TestClient(await child.ready)
    const finishing = client.pfs
      .finishCommit({ commit: commitOf(killedRepo, id) })
      .catch(() => undefined)
    for (let count = 0; count < acknowledgementsFirst; count += 1) await client.health.health({})
    child.signal('SIGKILL')
    await finishing
    await child.exit
    await using again = start(root)
    await using reader = new TestClient(await again.ready)
    const directoryInfo = await reader.pfs.inspectFile({ file: fileOf(killedRepo, id, '/d') })
    expect(directoryInfo.children).toHaveLength(fileCount)
    expect(directoryInfo.sizeBytes).toBe(BigInt(fileCount))
  }
  await using last = start(root)
  await using client = new TestClient(await last.ready)
  await client.pfs.finishCommit({ commit: commitOf(killedRepo, id) }).catch(() => undefined)
  const info = await client.pfs.inspectCommit({ commit: commitOf(killedRepo, id) })
  expect([info.sizeBytes, info.finished === undefined]).toEqual([BigInt(fileCount), false])
})

test('a server killed in the midst of an upload of many files: it has all of them, or none', async () => {
  await using directory = await TemporaryDirectory.create()
  const root = directory.join('data')
  const fileCount = 3000
  // So many are sent before the kill; without a number it comes with the acknowledgement.
  const rounds = [1, undefined, 1500, undefined, 2999, fileCount]
  for (const [round, sentBefore] of rounds.entries()) {
    await using child = start(root)
    await using client = new TestClient(await child.ready)
    if (round === 0) await client.pfs.createRepo({ repo: { name: killedRepo } })
    const id = await openCommit(client)
    const sent = Promise.withResolvers<void>()
    // In the order of their paths: their tree is made while they come.
    const puts = function* () {
      for (let at = 0; at < fileCount; at += 1) {
        if (at === sentBefore) sent.resolve()
        const path = `/${round}/${String(at).padStart(5, '0')}`
        yield { path, bytes: new TextEncoder().encode(`${path} ${'x'.repeat(500)}`) }
      }
      sent.resolve()
    }
    const putting = putFiles(client.transport, { repo: killedRepo, id }, puts()).then(
      () => true,
      () => false,
    )
    await (sentBefore === undefined ? putting : sent.promise)
    child.signal('SIGKILL')
    const isAcknowledged = await putting
    await child.exit
    await using again = start(root)
    await using reader = new TestClient(await again.ready)
    expect(await draftsIn(root)).toEqual([])
    const pattern = `/${round}/*`
    const commit = commitOf(killedRepo, id)
    const { fileInfo } = await reader.pfs.globFile({ commit, pattern })
    expect([0, fileCount]).toContain(fileInfo.length)
    const mustBeThere = isAcknowledged || sentBefore === undefined
    expect(mustBeThere ? fileInfo.length : fileCount).toBe(fileCount)
    for (const { file } of fileInfo.slice(-1)) {
      expect(await getText(reader, file ?? {})).toBe(`${file?.path} ${'x'.repeat(500)}`)
    }
  }
})

/** A data directory with an open commit of many files, whose tree no server has built. */
async function prepare(root: string, fileCount: number): Promise<string> {
  await using child = start(root)
  await using client = new TestClient(await child.ready)
  await client.pfs.createRepo({ repo: { name: killedRepo } })
  const { id } = await client.pfs.startCommit({
    parent: commitOf(killedRepo, ''),
    branch: 'master',
  })
  const names = Array.from({ length: fileCount }, (_, at) => `d/${at}`)
  await Promise.all(names.map(async (path) => putFile(client, fileOf(killedRepo, id, path), 'x')))
  return id
}
