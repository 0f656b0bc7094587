import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { JobState } from '../../src/gen/pps_pb.ts'
import { freshRepo } from '../harness/expectations.ts'
import { collect, commitFiles, commitOf, fileOf, putFile } from '../harness/files.ts'
import {
  atomOf,
  flush,
  freshPipeline,
  type InputInit,
  lastJobOf,
  outputOf,
} from '../harness/pipelines.ts'
import { TestPachd } from '../harness/test-pachd.ts'

let pachd: TestPachd
beforeAll(async () => {
  pachd = await TestPachd.start()
})
afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
})

const master = (repo: string) => ({ repo, branch: 'master' })
const copy = 'cp -r $PFS/in/. $PFS/out/'

function lazy(repo: string): InputInit {
  return { atom: { repo, glob: '/', name: 'in', lazy: true } }
}

/** A commit in which a file has another content. */
async function change(repo: string, path: string, content: string): Promise<string> {
  const { id } = await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
  await putFile(pachd, fileOf(repo, id, path), content, { overwrite: true })
  await pachd.pfs.finishCommit({ commit: commitOf(repo, id) })
  return id
}

describe('a datum', () => {
  test('is everything, or a directory with all that is in it, or a file, as the glob says', async () => {
    const repo = await freshRepo(pachd)
    const files = { 'x/a': '1', 'x/b': '1', 'y/a': '1', z: '1' }
    const commit = await commitFiles(pachd, master(repo), files)
    const paths: Record<string, readonly (readonly string[])[]> = {}
    for (const glob of ['/', '/*', '/*/*', '/x/?', '/none']) {
      const pipeline = await freshPipeline(pachd, copy, atomOf(repo, glob, 'in'))
      await flush(pachd, repo, commit)
      const { job } = await lastJobOf(pachd, pipeline)
      const { datumInfo } = await pachd.pps.listDatum({ job: job ?? {} })
      paths[glob] = datumInfo.map(({ data }) => data.map(({ path }) => path))
    }
    expect(paths).toEqual({
      '/': [['']],
      '/*': [['/x'], ['/y'], ['/z']],
      '/*/*': [['/x/a'], ['/x/b'], ['/y/a']],
      '/x/?': [['/x/a'], ['/x/b']],
      '/none': [],
    })
  })

  test('of a directory runs again when a file in it changes, and others do not', async () => {
    const repo = await freshRepo(pachd)
    const pipeline = await freshPipeline(pachd, copy, atomOf(repo, '/*', 'in'))
    const files = { 'x/a': '1', 'x/b': '1', 'y/a': '1' }
    await flush(pachd, repo, await commitFiles(pachd, master(repo), files))
    await flush(pachd, repo, await change(repo, 'x/b', '2'))
    expect(await lastJobOf(pachd, pipeline)).toMatchObject({ dataProcessed: 1n, dataSkipped: 1n })
    expect(await outputOf(pachd, pipeline)).toEqual({ '/x/a': '1', '/x/b': '2', '/y/a': '1' })
  })

  test('that is as it was once is not run again, however long ago that was', async () => {
    const repo = await freshRepo(pachd)
    const pipeline = await freshPipeline(
      pachd,
      `${copy}; date +%N >>$PFS/out/a`,
      atomOf(repo, '/*', 'in'),
    )
    await flush(pachd, repo, await commitFiles(pachd, master(repo), { a: '1' }))
    const before = await outputOf(pachd, pipeline)
    await flush(pachd, repo, await change(repo, 'a', '2'))
    expect(await outputOf(pachd, pipeline)).not.toEqual(before)
    await flush(pachd, repo, await change(repo, 'a', '1'))
    expect(await lastJobOf(pachd, pipeline)).toMatchObject({ dataProcessed: 0n, dataSkipped: 1n })
    expect(await outputOf(pachd, pipeline)).toEqual(before)
  })

  test('is run again when its pipeline was deleted and made anew', async () => {
    const repo = await freshRepo(pachd)
    const input = atomOf(repo, '/*', 'in')
    const name = await freshPipeline(pachd, copy, input)
    const commit = await commitFiles(pachd, master(repo), { a: '1' })
    await flush(pachd, repo, commit)
    await pachd.pps.deletePipeline({ pipeline: { name } })
    const transform = { cmd: ['sh', '-e'], stdin: [copy] }
    await pachd.pps.createPipeline({ pipeline: { name }, transform, input })
    await flush(pachd, repo, commit)
    const { job } = await lastJobOf(pachd, name)
    const ended = await pachd.pps.inspectJob({ job: job ?? {}, blockState: true })
    expect(ended).toMatchObject({ dataProcessed: 1n, dataSkipped: 0n })
  })

  test('that fails is tried four times, while others go on', async () => {
    const repo = await freshRepo(pachd)
    const code = `echo try; [ ! -e $PFS/in/bad ] || exit 3; ${copy}`
    const pipeline = await freshPipeline(pachd, code, atomOf(repo, '/*', 'in'))
    const commit = await commitFiles(pachd, master(repo), { a: '1', bad: '1', c: '1' })
    await expect(flush(pachd, repo, commit)).rejects.toThrow('exit code 3')
    const failed = await lastJobOf(pachd, pipeline)
    expect(failed).toMatchObject({ state: JobState.JOB_FAILURE, dataProcessed: 2n })
    const dataFilters = ['/bad']
    const lines = await collect(pachd.pps.getLogs({ job: failed.job ?? {}, dataFilters }))
    expect(lines.filter(({ message }) => message === 'try\n')).toHaveLength(4)
  })
})

describe('outputs', () => {
  test('that several datums write to one path are joined in the order of datums', async () => {
    const repo = await freshRepo(pachd)
    const code = 'sleep 0.$((10 - $(cat $in))); cat $in >>$PFS/out/all'
    const pipeline = await freshPipeline(pachd, code, atomOf(repo, '/*', 'in'))
    const files = Object.fromEntries(
      ['e', 'b', 'd', 'a', 'c'].map((name, at) => [name, `${at + 4}`]),
    )
    await flush(pachd, repo, await commitFiles(pachd, master(repo), files))
    expect(await outputOf(pachd, pipeline)).toEqual({ '/all': '75864' })
    await flush(pachd, repo, await change(repo, 'c', '9'))
    expect(await outputOf(pachd, pipeline)).toEqual({ '/all': '75964' })
  })

  test('of which one has a file where another has a directory fail the job, by name', async () => {
    const repo = await freshRepo(pachd)
    const code = 'if [ -e $PFS/in/a ]; then echo 1 >$PFS/out/x; else mkdir $PFS/out/x; fi'
    const pipeline = await freshPipeline(pachd, code, atomOf(repo, '/*', 'in'))
    const commit = await commitFiles(pachd, master(repo), { a: '1', b: '1' })
    await expect(flush(pachd, repo, commit)).rejects.toThrow(
      /"\/x" which is a file in some hashtrees and a directory in others: datums .*\/a\) and .*\/b\)/,
    )
    expect((await lastJobOf(pachd, pipeline)).state).toBe(JobState.JOB_FAILURE)
  })
})

describe('a lazy input', () => {
  test('is of named pipes, read when they are opened; a link to one is the file', async () => {
    const repo = await freshRepo(pachd)
    const code =
      '[ -p $PFS/in/f ] && [ -p $PFS/in/h ]; cat $PFS/in/f >$PFS/out/f; ln -s $PFS/in/g $PFS/out/g'
    const pipeline = await freshPipeline(pachd, code, lazy(repo))
    const files = { f: 'read', g: 'linked to', h: 'left' }
    await flush(pachd, repo, await commitFiles(pachd, master(repo), files))
    expect(await outputOf(pachd, pipeline)).toEqual({ '/f': 'read', '/g': 'linked to' })
  })

  test('whose pipe is left in the output fails the datum', async () => {
    const repo = await freshRepo(pachd)
    const code = { datumTries: 1n }
    await freshPipeline(pachd, 'cp -r $PFS/in/f $PFS/out/f', lazy(repo), code)
    const commit = await commitFiles(pachd, master(repo), { f: '1' })
    await expect(flush(pachd, repo, commit)).rejects.toThrow(/special file/)
  })
})

test('an incremental datum whose former job failed gets everything, and an empty output', async () => {
  const repo = await freshRepo(pachd)
  const code =
    '[ ! -e $PFS/in/bad ] || exit 3; cat $PFS/in/* >>$PFS/out/all; ls $PFS/in | wc -l >>$PFS/out/all'
  const more = { datumTries: 1n, incremental: true }
  const pipeline = await freshPipeline(pachd, code, atomOf(repo, '/', 'in'), more)
  await flush(pachd, repo, await commitFiles(pachd, master(repo), { a: 'a' }))
  expect(await outputOf(pachd, pipeline)).toEqual({ '/all': 'a1\n' })
  await flush(pachd, repo, await commitFiles(pachd, master(repo), { b: 'b' }))
  expect(await outputOf(pachd, pipeline)).toEqual({ '/all': 'a1\nb1\n' })
  const bad = await commitFiles(pachd, master(repo), { bad: 'x' })
  await expect(flush(pachd, repo, bad)).rejects.toThrow('exit code 3')
  const next = await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
  await pachd.pfs.deleteFile({ file: { commit: next, path: 'bad' } })
  await putFile(pachd, fileOf(repo, next.id, 'c'), 'c')
  await pachd.pfs.finishCommit({ commit: next })
  await flush(pachd, repo, next.id)
  expect(await outputOf(pachd, pipeline)).toEqual({ '/all': 'abc3\n' })
})
