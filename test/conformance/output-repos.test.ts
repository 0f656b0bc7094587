import { afterAll, beforeAll, expect, test } from 'vitest'
import { freshRepo, refused } from '../harness/expectations.ts'
import { collect, commitFiles } from '../harness/files.ts'
import { atomOf, flush, freshPipeline, outputOf } from '../harness/pipelines.ts'
import { TestPachd } from '../harness/test-pachd.ts'

let pachd: TestPachd

beforeAll(async () => {
  pachd = await TestPachd.start()
})
afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
})

/** What a check finds that is about one of `names`. */
async function findingsOf(...names: readonly string[]): Promise<readonly string[]> {
  const events = await collect(pachd.admin.check({}))
  const found: string[] = []
  for (const { event } of events) {
    if (event.case !== 'finding') continue
    const { subject, kind, what } = event.value
    const about = [subject?.repo, subject?.pipeline]
    if (names.some((name) => about.includes(name))) found.push(`${kind}: ${what}`)
  }
  return found
}

async function provenanceOf(repo: string): Promise<readonly string[]> {
  const { provenance } = await pachd.pfs.inspectRepo({ repo: { name: repo } })
  return provenance.map(({ name }) => name)
}

async function copyOf(repo: string): Promise<string> {
  return await freshPipeline(pachd, `cp $PFS/${repo}/* $PFS/out/`, atomOf(repo, '/*'))
}

test('the output repo of a pipeline is deleted by force only, and the refusal names both ways', async () => {
  const source = await freshRepo(pachd)
  const pipeline = await copyOf(source)
  const repo = { name: pipeline }
  await expect(pachd.pfs.deleteRepo({ repo })).rejects.toEqual(
    refused('failed-precondition', `delete-pipeline ${pipeline} --delete-repo`),
  )
  const operations = [{ operation: { case: 'deleteRepo', value: { repo } } } as const]
  await expect(pachd.transactions.runTransaction({ operations })).rejects.toThrow(
    `pipeline ${pipeline} writes it`,
  )
  await pachd.pfs.inspectRepo({ repo })
  await pachd.pps.deletePipeline({ pipeline: { name: pipeline } })
  await pachd.pfs.deleteRepo({ repo })
  await expect(pachd.pfs.inspectRepo({ repo })).rejects.toThrow('not found')
})

test('a pipeline whose output is tagged is not deleted with its repo, and loses nothing by trying', async () => {
  const source = await freshRepo(pachd)
  const pipeline = await copyOf(source)
  const id = await commitFiles(pachd, { repo: source, branch: 'master' }, { a: '1' })
  await flush(pachd, source, id)
  await pachd.commits.tagCommit({
    commit: { repo: { name: pipeline }, id: 'master' },
    tag: 'released',
  })
  const request = { pipeline: { name: pipeline }, deleteRepo: true, deleteJobs: true }
  await expect(pachd.pps.deletePipeline(request)).rejects.toEqual(
    refused('failed-precondition', 'tagged released'),
  )
  expect((await pachd.pps.listJob({ pipeline: { name: pipeline } })).jobInfo).toHaveLength(1)
  await pachd.pps.deletePipeline({ pipeline: { name: pipeline } })
  expect(await outputOf(pachd, pipeline)).toEqual({ '/a': '1' })
  await pachd.pfs.deleteRepo({ repo: { name: pipeline }, force: true })
})

test('an output repo that is made again is made from what its pipeline reads, and goes on', async () => {
  const source = await freshRepo(pachd)
  const first = await copyOf(source)
  const second = await copyOf(first)
  await flush(
    pachd,
    source,
    await commitFiles(pachd, { repo: source, branch: 'master' }, { a: '1' }),
  )
  await pachd.pfs.deleteRepo({ repo: { name: first }, force: true })
  await expect(pachd.pps.startPipeline({ pipeline: { name: first } })).rejects.toThrow(
    `create it again with create-repo ${first}, and start-pipeline ${first}`,
  )
  await pachd.pfs.createRepo({ repo: { name: first }, description: 'again' })
  expect(await provenanceOf(first)).toEqual([source])
  expect(await findingsOf(first, second)).toEqual([])
  for (const name of [first, second]) await pachd.pps.startPipeline({ pipeline: { name } })
  const id = await commitFiles(pachd, { repo: source, branch: 'master' }, { b: '2' })
  await flush(pachd, source, id)
  expect(await outputOf(pachd, first)).toEqual({ '/a': '1', '/b': '2' })
  expect(await outputOf(pachd, second)).toEqual({ '/a': '1', '/b': '2' })
  expect(await findingsOf(first, second)).toEqual([])
})

test('whichever of a pipeline’s repos comes back first, or by an update, all ends sound', async () => {
  const source = await freshRepo(pachd)
  const pipeline = await copyOf(source)
  for (const name of [pipeline, source]) {
    await pachd.pfs.deleteRepo({ repo: { name }, force: true })
  }
  await pachd.pfs.createRepo({ repo: { name: pipeline } })
  expect(await provenanceOf(pipeline)).toEqual([])
  await pachd.pfs.createRepo({ repo: { name: source } })
  expect(await provenanceOf(pipeline)).toEqual([source])
  await pachd.pps.startPipeline({ pipeline: { name: pipeline } })
  expect(await findingsOf(pipeline, source)).toEqual([])

  await pachd.pfs.deleteRepo({ repo: { name: pipeline }, force: true })
  await pachd.pps.createPipeline({
    pipeline: { name: pipeline },
    transform: { cmd: ['true'] },
    input: atomOf(source, '/*'),
    update: true,
  })
  expect(await provenanceOf(pipeline)).toEqual([source])
  expect(await findingsOf(pipeline, source)).toEqual([])
})

test('an update of an output repo may add to what it is made from, and takes nothing away', async () => {
  const [source, other] = [await freshRepo(pachd), await freshRepo(pachd)]
  const pipeline = await copyOf(source)
  const repo = { name: pipeline }
  await pachd.pfs.createRepo({ repo, update: true, description: 'new words' })
  expect(await provenanceOf(pipeline)).toEqual([source])
  await pachd.pfs.createRepo({ repo, update: true, provenance: [{ name: other }] })
  expect(await provenanceOf(pipeline)).toEqual([source, other].toSorted())
  expect(await findingsOf(pipeline)).toEqual([])
})

test('a repo cannot be made from what a pipeline makes of it', async () => {
  const source = await freshRepo(pachd)
  const pipeline = await copyOf(source)
  await pachd.pfs.deleteRepo({ repo: { name: source }, force: true })
  const call = pachd.pfs.createRepo({ repo: { name: source }, provenance: [{ name: pipeline }] })
  await expect(call).rejects.toThrow('is itself made from')
  const unmade = pachd.pfs.inspectRepo({ repo: { name: source } })
  await expect(unmade).rejects.toThrow('not found')
})
