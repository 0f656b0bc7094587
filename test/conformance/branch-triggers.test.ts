import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Code } from '../../src/base/grpc-wire.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildPachd } from '../harness/child-pachd.ts'
import { failed, freshName, freshRepo } from '../harness/expectations.ts'
import { collect, commitFiles, commitOf } from '../harness/files.ts'
import { pachctlHere } from '../harness/pachctl-here.ts'
import { flush, jobsOf } from '../harness/pipelines.ts'
import { TestClient, TestPachd } from '../harness/test-pachd.ts'

let pachd: TestPachd
beforeAll(async () => {
  pachd = await TestPachd.start()
})
afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
})

async function headOf(
  client: TestClient,
  repo: string,
  branch: string,
): Promise<string | undefined> {
  const { branchInfo } = await client.pfs.listBranch({ repo: { name: repo } })
  return branchInfo.find(({ name }) => name === branch)?.head?.id
}

async function triggersOf(client: TestClient, repo: string) {
  const batches = await collect(client.commits.listBranchTriggers({ repo: { name: repo } }))
  return batches.flatMap(({ triggers }) => triggers)
}

describe('triggers of branches', () => {
  test('a branch moves with the commit that makes its count full', async () => {
    const repo = await freshRepo(pachd)
    const master = { repo, branch: 'master' }
    const trigger = { branch: 'master', commits: 2n, size: '1kB' }
    await pachd.commits.setBranchTrigger({ repo: { name: repo }, branch: 'staging', trigger })
    await commitFiles(pachd, master, { a: 'one' })
    expect(await triggersOf(pachd, repo)).toMatchObject([
      { repo: { name: repo }, branch: 'staging', trigger, addedBytes: 3n, addedCommits: 1n },
    ])
    expect(await headOf(pachd, repo, 'staging')).toBeUndefined()
    const second = await commitFiles(pachd, master, { b: 'two' })
    expect(await headOf(pachd, repo, 'staging')).toBe(second)
    const large = await commitFiles(pachd, master, { c: 'x'.repeat(1000) })
    expect(await headOf(pachd, repo, 'staging')).toBe(large)
    await pachd.commits.setBranchTrigger({ repo: { name: repo }, branch: 'staging' })
    await commitFiles(pachd, master, { d: 'x'.repeat(1000) })
    expect(await headOf(pachd, repo, 'staging')).toBe(large)
    expect(await triggersOf(pachd, repo)).toEqual([])
  })

  test('a spec reads through a trigger, and is shown as it was written', async () => {
    const repo = await freshRepo(pachd)
    const name = freshName('pipeline')
    const trigger = { branch: '', commits: 2n }
    const input = { pfs: { repo, glob: '/', name: 'in', trigger } }
    const transform = { cmd: ['sh', '-e'], stdin: ['cp -r $PFS/in/. $PFS/out/'] }
    await pachd.pps.createPipeline({ pipeline: { name }, transform, input })
    const info = await pachd.pps.inspectPipeline({ pipeline: { name } })
    expect(info.input?.atom).toMatchObject({
      repo,
      branch: 'master',
      trigger: { branch: 'master', commits: 2n, all: false },
    })
    const { input: shown } = info
    await pachd.pps.createPipeline({
      pipeline: { name },
      transform,
      update: true,
      ...(shown !== undefined && { input: shown }),
    })
    await commitFiles(pachd, { repo, branch: 'master' }, { a: '1' })
    const second = await commitFiles(pachd, { repo, branch: 'master' }, { b: '2' })
    await flush(pachd, repo, second)
    expect(await jobsOf(pachd, name)).toHaveLength(1)
    expect(await triggersOf(pachd, repo)).toMatchObject([
      { branch: `${name}-trigger`, pipeline: { name } },
    ])
  })

  test('what makes no sense is refused', async () => {
    const repo = await freshRepo(pachd)
    const set = async (branch: string, trigger: Readonly<Record<string, unknown>>) =>
      await pachd.commits.setBranchTrigger({ repo: { name: repo }, branch, trigger })
    await expect(set('', { branch: 'master', commits: 1n })).rejects.toEqual(
      failed(Code.invalidArgument, 'invalid-argument', 'the request has no branch'),
    )
    await expect(set('x', { branch: 'x', commits: 1n })).rejects.toEqual(
      failed(Code.invalidArgument, 'invalid-argument', 'in a circle: x ← x'),
    )
    await expect(set('x', { branch: 'y', commits: 2n ** 62n })).rejects.toEqual(
      failed(Code.invalidArgument, 'invalid-argument', 'a trigger cannot wait for'),
    )
    await expect(set('x', { commits: 1n })).rejects.toEqual(
      failed(Code.invalidArgument, 'invalid-argument', 'a branch name is needed'),
    )
    await expect(
      collect(pachd.commits.listBranchTriggers({ repo: { name: 'no' } })),
    ).rejects.toEqual(failed(Code.notFound, 'not-found', 'no'))
  })

  test('what pachctl says of a trigger', async () => {
    await using home = await TemporaryDirectory.create()
    const repo = await freshRepo(pachd)
    const pachctl = async (...args: readonly string[]) =>
      await pachctlHere(args, { port: pachd.port, home: home.path })
    await commitFiles(pachd, { repo, branch: 'master' }, { a: '1' })
    expect((await pachctl('list-branch', repo)).out).not.toContain('TRIGGER')
    const flags = ['--trigger', 'master', '--trigger-size', '10MB', '--trigger-commits', '5']
    expect(await pachctl('create-branch', `${repo}@staging`, ...flags)).toMatchObject({ code: 0 })
    const cron = ['--trigger', 'master', '--trigger-cron', '@daily', '--trigger-all']
    expect(await pachctl('create-branch', repo, 'nightly', ...cron)).toMatchObject({ code: 0 })
    const listed = (await pachctl('list-branch', repo)).out
    expect(listed).toMatch(/staging +- +master: 10MB or 5 commits/)
    expect(listed).toMatch(/nightly +- +master: cron "@daily"/)
    expect((await pachctl('inspect-branch', repo, 'staging')).out).toBe(
      `Name: ${repo}@staging\nHead: none yet\nTrigger: master: 10MB or 5 commits\nSince it moved: 1 commit, 1B\n`,
    )
    expect(await pachctl('create-branch', repo, 'here', '--head', 'master')).toMatchObject({
      code: 0,
    })
    expect(await headOf(pachd, repo, 'here')).toBe(await headOf(pachd, repo, 'master'))
    expect(await pachctl('delete-branch', repo, 'staging')).toMatchObject({ code: 0 })
    expect(await triggersOf(pachd, repo)).toHaveLength(1)
    for (const [words, reason] of [
      [['create-branch', repo, 'x'], 'give --head'],
      [['create-branch', repo, 'x', '--trigger-size', '1'], 'a condition needs --trigger'],
      [['create-branch', repo, 'x', '--trigger', 'y'], 'a trigger needs a condition'],
      [['inspect-branch', repo, 'no'], `branch no not found in repo ${repo}`],
    ] as const) {
      const { code, err } = await pachctl(...words)
      expect({ code, err }).toEqual({ code: 1, err: expect.stringContaining(reason) })
    }
  })

  test('a server that is killed while commits come has moved the branch with its commit, or not', async () => {
    await using directory = await TemporaryDirectory.create()
    const args = ['--root', directory.join('data'), '--address', '127.0.0.1:0']
    const repo = 'in'
    const trigger = { branch: 'master', commits: 3n }
    for (let round = 0; round < 3; round += 1) {
      {
        await using child = new ChildPachd(args)
        await using client = new TestClient(await child.ready)
        if (round === 0) {
          await client.pfs.createRepo({ repo: { name: repo } })
          await client.commits.setBranchTrigger({
            repo: { name: repo },
            branch: 'staging',
            trigger,
          })
        }
        const writing = (async (): Promise<void> => {
          for (;;)
            await commitFiles(client, { repo, branch: 'master' }, { a: String(Math.random()) })
        })().catch(() => undefined)
        await expect.poll(async () => await headOf(client, repo, 'staging')).toBeDefined()
        child.signal('SIGKILL')
        await Promise.all([writing, child.exit])
      }
      await using child = new ChildPachd(args)
      await using client = new TestClient(await child.ready)
      const commits = await client.pfs.listCommit({ repo: { name: repo } })
      const finished = commits.commitInfo.filter((one) => one.finished !== undefined)
      const newestFirst = finished.map(({ commit }) => commit?.id)
      const [state] = await triggersOf(client, repo)
      const since = newestFirst.indexOf(await headOf(client, repo, 'staging'))
      // Every third commit moved it, and what came since is counted.
      expect(since).toBe(newestFirst.length % 3)
      expect(state?.addedCommits).toBe(BigInt(since))
      for (const one of commits.commitInfo) {
        if (one.finished !== undefined) continue
        await client.pfs.deleteCommit({ commit: commitOf(repo, one.commit?.id ?? '') })
      }
    }
  })
})
