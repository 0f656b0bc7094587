import { afterAll, beforeAll, expect, test } from 'vitest'
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

/** Runs `each` for each datum, with the file that it is about at `$in`. */
function warm(each: string) {
  const loop = `echo ready >&3; while read -r ticket _; do . "$PACH_DATUM_VARIABLES"; ${each}; done`
  return { cmd: ['sh', '-c', `n=0; ${loop}`], warm: true }
}

test('a warm command is handed the datums of several jobs, each with its own lines', async () => {
  const repo = await freshRepo(pachd)
  const commit = await commitFiles(pachd, master(repo), { a: '1', b: '2' })
  const each =
    'name=${in##*/}; n=$((n + 1)); echo "at $name"; echo $n >"$PFS/out/$name"; echo "$ticket 0" >&3'
  const pipeline = await freshPipeline(pachd, warm(each), atomOf(repo, '/*', 'in'))
  await flush(pachd, repo, commit)
  await flush(pachd, repo, await commitFiles(pachd, master(repo), { c: '3' }))
  expect(Object.keys(await outputOf(pachd, pipeline))).toEqual(['/a', '/b', '/c'])
  for (const name of ['a', 'b', 'c']) {
    const lines = await collect(
      pachd.pps.getLogs({ pipeline: { name: pipeline }, dataFilters: [`/${name}`] }),
    )
    expect(lines.map(({ message }) => message)).toEqual([`at ${name}\n`])
  }
  const { transform } = await pachd.pps.inspectPipeline({ pipeline: { name: pipeline } })
  expect(transform?.warm).toBe(true)
})

test('a datum that takes too long is ended, err_cmd lets it go, and others are done', async () => {
  const repo = await freshRepo(pachd)
  const commit = await commitFiles(pachd, master(repo), { a: '1', b: '2', c: '3' })
  const each = '[ ${in##*/} = b ] && sleep 1000; cp "$in" "$PFS/out"; echo "$ticket $?" >&3'
  const transform = { ...warm(each), errCmd: ['sh', '-c', 'echo given up'] }
  const pipeline = await freshPipeline(pachd, transform, atomOf(repo, '/*', 'in'), {
    datumTries: 1n,
    datumTimeout: { seconds: 3n },
  })
  await flush(pachd, repo, commit)
  expect(await outputOf(pachd, pipeline)).toEqual({ '/a': '1', '/c': '3' })
  const { job } = await lastJobOf(pachd, pipeline)
  const lines = await collect(pachd.pps.getLogs({ ...(job && { job }) }))
  expect(lines.map(({ message }) => message)).toContain('given up\n')
})

test('a datum whose command never says that it is ready says so at its datum_timeout', async () => {
  const repo = await freshRepo(pachd)
  await commitFiles(pachd, master(repo), { a: '1' })
  const transform = { cmd: ['sh', '-c', 'sleep 1000'], warm: true }
  const limits = { datumTries: 1n, datumTimeout: { seconds: 1n } }
  const pipeline = await freshPipeline(pachd, transform, atomOf(repo, '/*', 'in'), limits)
  const { job } = await lastJobOf(pachd, pipeline)
  const { reason } = await pachd.pps.inspectJob({ ...(job && { job }), blockState: true })
  expect(reason).toMatch(
    /datum_timeout of 1s, and the warm command had not said "ready" yet: it must write "ready" to descriptor 3/,
  )
})

test.each([
  [{ transform: { ...warm(':'), stdin: ['x'] } }, 'transform.stdin is set, and with "warm"'],
  [{ transform: warm(':'), spout: {} }, "warm is about datums and jobs that end, and a spout's"],
])('a warm pipeline that makes no sense is refused: %#', async (more, text) => {
  const repo = await freshRepo(pachd)
  const input = 'spout' in more ? {} : { input: atomOf(repo, '/') }
  const request = { pipeline: { name: `${repo}-p` }, ...input, ...more }
  await expect(pachd.pps.createPipeline(request)).rejects.toThrow(text)
})
