import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Code } from '../../src/base/grpc-wire.ts'
import { type TrialInfo, TrialResults, TrialState } from '../../src/gen/pachyderm_pb.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildPachd } from '../harness/child-pachd.ts'
import { failed, freshName, freshRepo } from '../harness/expectations.ts'
import { collect, commitFiles, commitOf } from '../harness/files.ts'
import { pachctlHere } from '../harness/pachctl-here.ts'
import { atomOf, flush, freshPipeline, jobsOf, outputOf } from '../harness/pipelines.ts'
import { TestClient, TestPachd } from '../harness/test-pachd.ts'

let pachd: TestPachd
beforeAll(async () => {
  pachd = await TestPachd.start()
})
afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
})

const upper = { cmd: ['sh', '-e'], stdin: ['tr a-z A-Z < $in > $PFS/out/$(basename $in)'] }
const reversed = { cmd: ['sh', '-e'], stdin: ['rev < $in > $PFS/out/$(basename $in)'] }
const joined = { cmd: ['sh', '-e'], stdin: ['cat $PFS/up/* > $PFS/out/all'] }

interface Chain {
  readonly repo: string
  readonly up: string
  readonly down: string
}

async function openChain(client: TestClient, repo: string): Promise<Chain> {
  const up = await freshPipeline(client, upper, atomOf(repo, '/*', 'in'))
  const down = await freshPipeline(client, joined, atomOf(up, '/', 'up'))
  const commit = await commitFiles(client, { repo, branch: 'master' }, { a: 'ab\n', b: 'cd\n' })
  await flush(client, repo, commit)
  return { repo, up, down }
}

function reversedSpec({ repo, up }: Chain) {
  return { pipeline: { name: up }, transform: reversed, input: atomOf(repo, '/*', 'in') }
}

async function settled(client: TestClient, trial: string): Promise<TrialInfo> {
  return await client.trials.inspectTrial({ trial, block: true })
}

describe('trials', () => {
  test('changed code runs on all that is downstream, and is merged without running again', async () => {
    const chain = await openChain(pachd, await freshRepo(pachd))
    const trial = freshName('trial')
    const specs = [reversedSpec(chain)]
    const begun = await pachd.trials.createTrial({ trial, specs })
    expect(begun).toMatchObject({
      trial,
      pipelines: [
        { pipeline: { name: `${chain.up}--${trial}` }, tries: { name: chain.up }, changed: true },
        { tries: { name: chain.down }, changed: false, new: false },
      ],
    })
    const info = await settled(pachd, trial)
    expect(info.obstacles).toEqual([])
    expect(info.pipelines).toMatchObject([
      { state: TrialState.READY, datums: 2n, processed: 2n, skipped: 0n },
      { state: TrialState.READY, datums: 1n, processed: 1n, skipped: 0n },
    ])
    expect(await outputOf(pachd, `${chain.down}--${trial}`)).toEqual({ '/all': 'ba\ndc\n' })
    expect(await outputOf(pachd, chain.down)).toEqual({ '/all': 'AB\nCD\n' })
    const listed = await collect(pachd.trials.listTrials({}))
    expect(listed.flatMap(({ trials }) => trials)).toContainEqual(info)

    expect(await pachd.trials.mergeTrial({ trial })).toEqual(info)
    expect(await outputOf(pachd, chain.down)).toEqual({ '/all': 'ba\ndc\n' })
    expect(await outputOf(pachd, chain.down, 'master-v1')).toEqual({ '/all': 'AB\nCD\n' })
    const jobs = await jobsOf(pachd, chain.down)
    expect(jobs).toHaveLength(2)
    expect(jobs[0]).toMatchObject({ job: info.pipelines[1]?.job, outputRepo: { name: chain.down } })
    await expect(pachd.trials.inspectTrial({ trial })).rejects.toEqual(
      failed(Code.notFound, 'not-found', `trial ${trial} not found`),
    )
  })

  test('changed data is tried and dropped, with all that came of it', async () => {
    const chain = await openChain(pachd, await freshRepo(pachd))
    const { repo, up } = chain
    const trial = freshName('trial')
    await pachd.pfs.setBranch({ commit: commitOf(repo, 'master'), branch: 'fixed' })
    await commitFiles(pachd, { repo, branch: 'fixed' }, { b: 'xy\n' })
    const data = [{ branch: commitOf(repo, 'master'), other: 'fixed' }]
    await pachd.trials.createTrial({ trial, data })
    const info = await settled(pachd, trial)
    expect(info.pipelines[0]).toMatchObject({ datums: 2n, processed: 1n, skipped: 1n })
    expect(await outputOf(pachd, `${chain.down}--${trial}`)).toEqual({ '/all': 'AB\nCD\nXY\n' })
    await pachd.trials.deleteTrial({ trial })
    const { repoInfo } = await pachd.pfs.listRepo({})
    const names = repoInfo.map(({ repo: found }) => found?.name ?? '')
    expect(names.filter((name) => name.includes(trial))).toEqual([])
    expect(names).toContain(up)
    await expect(pachd.trials.deleteTrial({ trial })).rejects.toEqual(
      failed(Code.notFound, 'not-found', `trial ${trial} not found`),
    )
  })

  test('requests that make no sense are refused by name', async () => {
    const chain = await openChain(pachd, await freshRepo(pachd))
    await expect(pachd.trials.createTrial({})).rejects.toEqual(
      failed(
        Code.invalidArgument,
        'invalid-argument',
        'a trial name is needed, but the request has no trial',
      ),
    )
    await expect(pachd.trials.createTrial({ trial: 'x', data: [{ other: 'y' }] })).rejects.toEqual(
      failed(Code.invalidArgument, 'invalid-argument', 'the request has no data.branch'),
    )
    const data = [{ branch: commitOf(chain.repo, 'master') }]
    await expect(pachd.trials.createTrial({ trial: 'x', data })).rejects.toEqual(
      failed(Code.invalidArgument, 'invalid-argument', 'the request has no data.other'),
    )
    await expect(pachd.trials.mergeTrial({ trial: 'x' })).rejects.toEqual(
      failed(Code.notFound, 'not-found', 'trial x not found'),
    )
  })

  test('what pachctl says of a trial, from its beginning to its merge', async () => {
    await using home = await TemporaryDirectory.create()
    const chain = await openChain(pachd, await freshRepo(pachd))
    const { repo, up, down } = chain
    const pachctl = async (...args: readonly string[]) =>
      await pachctlHere(args, { port: pachd.port, home: home.path })
    await pachd.pfs.setBranch({ commit: commitOf(repo, 'master'), branch: 'fixed' })
    await commitFiles(pachd, { repo, branch: 'fixed' }, { b: 'xyz\n', c: 'new\n' })
    const trial = freshName('trial')
    const made = await pachctl('create-trial', trial, '--data', `${repo}@master=${repo}@fixed`)
    expect(made).toMatchObject({ code: 0, err: '' })
    expect(made.out).toContain(`Data: ${repo}@master is ${repo}@fixed`)
    const shown = await pachctl('inspect-trial', trial, '--block')
    expect(shown.out).toMatch(new RegExp(`${up}--${trial} +${up} +- +ready +3 +2 +1 +`))
    expect(shown.out).toContain(`Can be merged: pachctl merge-trial ${trial}`)
    const differs = await pachctl('diff-trial', trial)
    expect(
      differs.out
        .trim()
        .split('\n')
        .map((line) => line.trim().split(/ +/)),
    ).toEqual([
      ['PIPELINE', 'FILE', 'CHANGE', 'MAIN', 'SIZE', 'TRIAL', 'SIZE'],
      [up, '/b', 'changed', '3B', '7B'],
      [up, '/c', 'added', '-', '4B'],
      [down, '/all', 'changed', '6B', '14B'],
    ])
    const one = await pachctl('diff-trial', trial, `${up}:/c`)
    expect(one.out.trim().split('\n')).toHaveLength(2)
    expect(await pachctl('diff-trial', trial, 'other')).toMatchObject({
      code: 1,
      err: `trial ${trial} has no pipeline other; it has ${up}, ${down}\n`,
    })
    expect((await pachctl('list-trial')).out).toMatch(new RegExp(`${trial} .* can be merged`))
    const list = await pachctl('list-pipeline')
    expect(list.out).not.toContain(trial)
    await commitFiles(pachd, { repo, branch: 'master' }, { d: '1' })
    const stopped = await pachctl('merge-trial', trial)
    expect(stopped.code).toBe(1)
    expect(stopped.err).toContain(`bring them in with merge-branch ${repo} master fixed`)
    expect((await pachctl('merge-branch', repo, 'master', 'fixed')).code).toBe(0)
    await settled(pachd, trial)
    const merged = await pachctl('merge-trial', trial)
    expect(merged.out.split('\n').slice(0, 3)).toEqual([
      `${repo}@master is now what ${repo}@fixed is.`,
      `${up} is merged.`,
      `${down} is merged.`,
    ])
    expect(await pachctl('get-file', down, 'master', 'all')).toMatchObject({
      out: 'AB\nCD\nXYZ\nNEW\n1',
    })
    for (const [words, reason] of [
      [['create-trial', 'x'], 'would change nothing'],
      [['create-trial', 'x', '--data', 'a'], 'write repo@branch=repo@other'],
      [['create-trial', 'x', '--data', 'a@b=c@d'], 'two branches of one repo'],
      [['create-trial', 'x', '--keep-results', '--reprocess'], 'cannot use both'],
    ] as const) {
      const result = await pachctl(...words)
      expect(result.code).toBe(1)
      expect(result.err).toContain(reason)
    }
  })

  test('a server that is killed has a trial or none, merged or not, and nothing between', async () => {
    await using directory = await TemporaryDirectory.create()
    const args = ['--root', directory.join('data'), '--address', '127.0.0.1:0']
    let chain: Chain = { repo: '', up: '', down: '' }
    {
      await using child = new ChildPachd(args)
      await using client = new TestClient(await child.ready)
      await client.pfs.createRepo({ repo: { name: 'in' } })
      chain = await openChain(client, 'in')
    }
    const results = TrialResults.NONE
    let version = 1n
    for (const lifeMs of [2, 12, 60]) {
      const specs = [reversedSpec(chain)]
      await killedDuring(args, lifeMs, (client) =>
        client.trials.createTrial({ trial: 'try', specs, results }),
      )
      {
        await using child = new ChildPachd(args)
        await using client = new TestClient(await child.ready)
        const known = await trialNames(client)
        const isThere = known.includes('try')
        expect(await reposOfTrial(client)).toHaveLength(isThere ? 2 : 0)
        if (!isThere) await client.trials.createTrial({ trial: 'try', specs, results })
        expect((await settled(client, 'try')).obstacles).toEqual([])
      }
      await killedDuring(args, lifeMs, (client) => client.trials.mergeTrial({ trial: 'try' }))
      await using child = new ChildPachd(args)
      await using client = new TestClient(await child.ready)
      const pipeline = await client.pps.inspectPipeline({ pipeline: { name: chain.up } })
      const isMerged = pipeline.version > version
      expect(await trialNames(client)).toEqual(isMerged ? [] : ['try'])
      expect(await reposOfTrial(client)).toHaveLength(isMerged ? 0 : 2)
      if (!isMerged) await client.trials.mergeTrial({ trial: 'try' })
      version += 1n
      expect(await outputOf(client, chain.down)).toEqual({ '/all': 'ba\ndc\n' })
      const findings = (await collect(client.admin.check({}))).flatMap(({ event }) =>
        event.case === 'finding' ? [event.value] : [],
      )
      expect(findings).toEqual([])
    }
  })
})

/** Kills a server some time after it was asked for something. */
async function killedDuring(
  args: readonly string[],
  lifeMs: number,
  ask: (client: TestClient) => Promise<unknown>,
): Promise<void> {
  await using child = new ChildPachd(args)
  await using client = new TestClient(await child.ready)
  const asked = ask(client).catch(() => undefined)
  await pause(lifeMs)
  child.signal('SIGKILL')
  await child.exit
  await asked
}

async function trialNames(client: TestClient): Promise<readonly string[]> {
  const batches = await collect(client.trials.listTrials({}))
  return batches.flatMap(({ trials }) => trials).map(({ trial }) => trial)
}

async function reposOfTrial(client: TestClient): Promise<readonly string[]> {
  const { repoInfo } = await client.pfs.listRepo({})
  return repoInfo.map(({ repo }) => repo?.name ?? '').filter((name) => name.endsWith('--try'))
}
