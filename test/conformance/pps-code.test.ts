import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { JobState } from '../../src/gen/pps_pb.ts'
import { freshRepo } from '../harness/expectations.ts'
import { collect, commitFiles } from '../harness/files.ts'
import { atomOf, flush, freshPipeline, lastJobOf, outputOf } from '../harness/pipelines.ts'
import { TestPachd } from '../harness/test-pachd.ts'

let pachd: TestPachd
beforeAll(async () => {
  pachd = await TestPachd.start()
})
afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
})

const master = (repo: string) => ({ repo, branch: 'master' })

describe('what user code finds', () => {
  test('a file is at its whole path below /pfs/<input>, a directory with all that is in it', async () => {
    const repo = await freshRepo(pachd)
    const files = { 'dir/a': '1', 'dir/sub/b': '2', 'with space/ünïcode “q”': '3' }
    const commit = await commitFiles(pachd, master(repo), files)
    const listing = 'cd ${PFS:-/pfs}/in && find . -type f | sort > ../out/$(ls | tr " " _)'
    const whole = await freshPipeline(pachd, listing, atomOf(repo, '/*', 'in'))
    const single = await freshPipeline(pachd, listing, atomOf(repo, '/dir/a', 'in'))
    await flush(pachd, repo, commit)
    expect(await outputOf(pachd, whole)).toEqual({
      '/dir': './dir/a\n./dir/sub/b\n',
      '/with_space': './with space/ünïcode “q”\n',
    })
    expect(await outputOf(pachd, single)).toEqual({ '/dir': './dir/a\n' })
  })

  test('cmd is started as it is, without a shell, with stdin lines and env', async () => {
    const repo = await freshRepo(pachd)
    const commit = await commitFiles(pachd, master(repo), { a: '' })
    const script = 'cat > $PFS/out/in; printf "%s|" "$GREETING" "$@" > $PFS/out/args'
    const cmd = ['sh', '-c', script, 'name', '$HOME', '; touch x', 'a b']
    const transform = { cmd, stdin: ['one', 'two $HOME'], env: { GREETING: 'hello "you"' } }
    const pipeline = await freshPipeline(pachd, transform, atomOf(repo, '/'))
    await flush(pachd, repo, commit)
    expect(await outputOf(pachd, pipeline)).toEqual({
      '/in': 'one\ntwo $HOME\n',
      '/args': 'hello "you"|$HOME|; touch x|a b|',
    })
  })

  test('the environment names the job, the datum, the output commit and the inputs', async () => {
    const repo = await freshRepo(pachd)
    const commit = await commitFiles(pachd, master(repo), { a: '' })
    const code = 'echo $PACH_JOB_ID $PACH_DATUM_ID $PACH_OUTPUT_COMMIT_ID $in_COMMIT > $PFS/out/ids'
    const pipeline = await freshPipeline(pachd, code, atomOf(repo, '/a', 'in'))
    await flush(pachd, repo, commit)
    const job = await lastJobOf(pachd, pipeline)
    const ids = { job: job.job?.id, output: job.outputCommit?.id }
    const { datumInfo } = await pachd.pps.listDatum({ job: { id: ids.job ?? '' } })
    expect(await outputOf(pachd, pipeline)).toEqual({
      '/ids': `${ids.job} ${datumInfo[0]?.datum?.id} ${ids.output} ${commit}\n`,
    })
  })

  test('a cross gives every combination, a union each input by itself', async () => {
    const [left, right] = [await freshRepo(pachd), await freshRepo(pachd)]
    await commitFiles(pachd, master(left), { a: '', b: '' })
    const commit = await commitFiles(pachd, master(right), { x: '', y: '' })
    const members = [atomOf(left, '/*', 'in1'), atomOf(right, '/*', 'in2')]
    const code = 'echo $(cd $PFS; ls -d in*/*) >> $PFS/out/all'
    const cross = await freshPipeline(pachd, code, { cross: members })
    const union = await freshPipeline(pachd, code, { union: members })
    await flush(pachd, right, commit)
    expect(await outputOf(pachd, cross)).toEqual({
      '/all': 'in1/a in2/x\nin1/b in2/x\nin1/a in2/y\nin1/b in2/y\n',
    })
    expect(await outputOf(pachd, union)).toEqual({ '/all': 'in1/a\nin1/b\nin2/x\nin2/y\n' })
  })
})

describe('what user code leaves', () => {
  test('files, directories and empty directories are the output', async () => {
    const repo = await freshRepo(pachd)
    const commit = await commitFiles(pachd, master(repo), { a: 'x' })
    const code = 'cd $PFS/out; mkdir -p empty deep/er; printf 1 > deep/er/file; : > nothing'
    const pipeline = await freshPipeline(pachd, code, atomOf(repo, '/'))
    await flush(pachd, repo, commit)
    expect(await outputOf(pachd, pipeline)).toEqual({ '/deep/er/file': '1', '/nothing': '' })
    const head = { repo: { name: pipeline }, id: 'master' }
    const { fileInfo } = await pachd.pfs.globFile({ commit: head, pattern: '/*' })
    expect(fileInfo.map(({ file }) => file?.path)).toEqual(['/deep', '/empty', '/nothing'])
  })

  test('a link to an input is the input, and a link out of /pfs fails the datum', async () => {
    const repo = await freshRepo(pachd)
    const commit = await commitFiles(pachd, master(repo), { a: 'content' })
    const links = await freshPipeline(pachd, 'ln -s /pfs/in/a /pfs/out/b', atomOf(repo, '/', 'in'))
    await flush(pachd, repo, commit)
    expect(await outputOf(pachd, links)).toEqual({ '/b': 'content' })
    const escapes = await freshPipeline(pachd, 'ln -s /etc/passwd /pfs/out/p', atomOf(repo, '/'))
    await expect(flush(pachd, repo, commit)).rejects.toThrow(/\/etc\/passwd|out of|outside/)
    expect((await lastJobOf(pachd, escapes)).state).toBe(JobState.JOB_FAILURE)
  })

  test('accepted return codes are success, others fail the datum and say the code', async () => {
    const repo = await freshRepo(pachd)
    const commit = await commitFiles(pachd, master(repo), { a: '' })
    const cmd = ['sh', '-c', 'echo done > $PFS/out/x; exit 7']
    const input = atomOf(repo, '/')
    const kind = await freshPipeline(pachd, { cmd, acceptReturnCode: [7n] }, input)
    await flush(pachd, repo, commit)
    expect(await outputOf(pachd, kind)).toEqual({ '/x': 'done\n' })
    const strict = await freshPipeline(pachd, { cmd }, input)
    await expect(flush(pachd, repo, commit)).rejects.toThrow(/exit(ed)? (with )?(code )?7/)
    const job = await lastJobOf(pachd, strict)
    expect(job).toMatchObject({ state: JobState.JOB_FAILURE, dataFailed: 1n, dataTotal: 1n })
    expect(job.outputCommit).toBeUndefined()
    expect((await pachd.pfs.listBranch({ repo: { name: strict } })).branchInfo).toEqual([])
  })

  test('a program that does not exist fails the datum at once, by name', async () => {
    const repo = await freshRepo(pachd)
    const commit = await commitFiles(pachd, master(repo), { a: '' })
    await freshPipeline(pachd, { cmd: ['no-such-program'] }, atomOf(repo, '/'))
    await expect(flush(pachd, repo, commit)).rejects.toThrow('no-such-program')
  })

  test('lines of both streams are logged with their datum, an unterminated one too', async () => {
    const repo = await freshRepo(pachd)
    const commit = await commitFiles(pachd, master(repo), { a: '', b: '' })
    const code = 'echo out 100%d $(ls $PFS/in); echo err >&2; printf last'
    const pipeline = await freshPipeline(pachd, code, atomOf(repo, '/*', 'in'))
    await flush(pachd, repo, commit)
    const all = await collect(pachd.pps.getLogs({ pipeline: { name: pipeline } }))
    const messages = all.map(({ message }) => message).toSorted()
    expect(messages).toEqual(
      ['err\n', 'err\n', 'last\n', 'last\n', 'out 100%d a\n', 'out 100%d b\n'].toSorted(),
    )
    const filtered = { pipeline: { name: pipeline }, dataFilters: ['/a'] }
    const ofA = await collect(pachd.pps.getLogs(filtered))
    expect(ofA.map(({ message }) => message)).toContain('out 100%d a\n')
    expect(ofA.every(({ data }) => data[0]?.path === '/a')).toBe(true)
    const job = { id: all[0]?.jobId ?? '' }
    const byDatum = { job, inputFileId: ofA[0]?.inputFileId ?? '' }
    expect(await collect(pachd.pps.getLogs(byDatum))).toHaveLength(3)
  })
})

test('an image is recorded, and a notice says that the host’s programs are used', async () => {
  const repo = await freshRepo(pachd)
  const transform = { image: 'busybox:1', cmd: ['true'] }
  const name = await freshPipeline(pachd, transform, atomOf(repo, '/'))
  const info = await pachd.pps.inspectPipeline({ pipeline: { name } })
  expect(info.transform?.image).toBe('busybox:1')
  expect(info.notices).toEqual([expect.stringContaining('image busybox:1 is recorded')])
})
