import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, expect, test } from 'vitest'
import { readRelease } from '../../src/server/release.ts'
import { metadataFormat } from '../harness/stored-formats/metadata-format.ts'
import { datumFormat } from '../harness/stored-formats/pipeline-formats.ts'
import { placeFormats } from '../harness/stored-formats/place-formats.ts'
import { storageFormats } from '../harness/stored-formats/storage-formats.ts'
import {
  changesWithoutVersion,
  digestOf,
  type RecordedFormats,
  recordFormats,
  undescribed,
  unread,
} from '../harness/stored-formats/stored-format.ts'

// Samples of everything that docs/formats/ describes are written anew and compared with those that are kept
// for each release; a change takes another version, a page that says so, and samples that are kept, and what
// the releases before wrote must still be read. UPDATE_FORMATS=1 keeps those of the release in package.json.

const formats = [...storageFormats, datumFormat, metadataFormat, ...placeFormats]
const kept = fileURLToPath(new URL('../fixtures/formats/', import.meta.url))
const docs = fileURLToPath(new URL('../../docs/formats/', import.meta.url))
const isUpdate = process.env['UPDATE_FORMATS'] === '1'

const howTo =
  'see "Every release" in docs/formats/backups.md; then UPDATE_FORMATS=1 tools/node node_modules/vitest/vitest.mjs run test/conformance/format-samples.test.ts'

/** What is wrong, and what to do about it. */
function told(faults: readonly string[]): readonly string[] {
  return faults.length === 0 ? [] : [...faults, howTo]
}

let now: RecordedFormats
let pages: Readonly<Record<string, string>>

beforeAll(async () => {
  now = await recordFormats(formats)
  const names = (await readdir(docs)).map((name) => name.replace(/\.md$/, ''))
  const texts = names.map(async (name) => [name, await readFile(join(docs, `${name}.md`), 'utf8')])
  pages = Object.fromEntries(await Promise.all(texts)) as Readonly<Record<string, string>>
  if (isUpdate) await keep()
})

async function keep(): Promise<void> {
  const release = await readRelease()
  const before = (await releases()).get(release) ?? {}
  expect(told(changesWithoutVersion(before, now))).toEqual([])
  await writeFile(join(kept, `${release}.json`), `${JSON.stringify(now, undefined, 1)}\n`)
}

async function releases(): Promise<ReadonlyMap<string, RecordedFormats>> {
  const found = new Map<string, RecordedFormats>()
  for (const name of await readdir(kept)) {
    const text = await readFile(join(kept, name), 'utf8')
    found.set(name.replace(/\.json$/, ''), JSON.parse(text) as RecordedFormats)
  }
  return found
}

test('what is stored is what is kept for this release, page by page', async () => {
  const before = (await releases()).get(await readRelease()) ?? {}
  expect(told(changesWithoutVersion(before, now))).toEqual([])
  expect({ howTo, ...now }).toEqual({ howTo, ...before })
})

test('every page of docs/formats/ has samples, and says which it describes', () => {
  expect(told(undescribed(now, pages))).toEqual([])
})

test('what each release wrote is read, and means what it meant', async () => {
  for (const recorded of (await releases()).values()) {
    expect(told(await unread(formats, recorded))).toEqual([])
  }
})

test('no release has changed a format without another version', async () => {
  for (const recorded of (await releases()).values()) {
    expect(told(changesWithoutVersion(recorded, now))).toEqual([])
  }
})

/** The formats as they would be, had one sample been written otherwise. */
function changed(page: string, sample: string, version?: string): RecordedFormats {
  const format = now[page]
  const old = format?.samples[sample]
  if (format === undefined || old === undefined) throw new Error(`no sample ${sample} of ${page}`)
  const samples = { ...format.samples, [sample]: { ...old, written: `${old.written}0` } }
  return { ...now, [page]: { version: version ?? format.version, samples } }
}

test('a sample that is changed anywhere is told, until version, page and what is kept agree', () => {
  const everySample = Object.entries(now).flatMap(([page, { samples }]) =>
    Object.keys(samples).map((sample) => [page, sample] as const),
  )
  expect(everySample.length).toBeGreaterThan(45)
  for (const [page, sample] of everySample) {
    const [same, raised] = [changed(page, sample), changed(page, sample, 'next')]
    expect(same).not.toEqual(now)
    expect(changesWithoutVersion(now, same)).toEqual([
      expect.stringContaining(`${page}: "${sample}" is written differently`),
    ])
    expect(changesWithoutVersion(now, raised)).toEqual([])
    expect(undescribed(raised, pages)).toEqual([expect.stringContaining(`docs/formats/${page}.md`)])
    const described = { ...pages, [page]: `samples \`${digestOf(raised[page] ?? missing)}\`` }
    expect(undescribed(raised, described)).toEqual([])
  }
})

const missing = { version: '', samples: {} }

test('a format that is dropped, not described, or no longer read is told', async () => {
  const { packs: _, ...others } = now
  expect(changesWithoutVersion(now, others)).toEqual(['packs: nothing of it is written any more'])
  expect(undescribed(now, { ...pages, new: '' })).toEqual([
    'docs/formats/new.md: no sample is written of it',
  ])
  const read = Object.values(now).flatMap(({ samples }) =>
    Object.values(samples).filter(({ meaning }) => meaning !== undefined),
  )
  expect(read.length).toBeGreaterThan(25)
  for (const [page, { version, samples }] of Object.entries(now)) {
    for (const [name, { written, meaning }] of Object.entries(samples)) {
      if (meaning === undefined) continue
      const other = { [page]: { version, samples: { [name]: { written, meaning: 'other' } } } }
      expect(await unread(formats, other)).toEqual([expect.stringContaining(`"${name}" meant`)])
    }
  }
  expect(await unread([], now)).toHaveLength(read.length)
})
