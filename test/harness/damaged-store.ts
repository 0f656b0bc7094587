import { cp, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { SystemClock } from '../../src/base/clock.ts'
import type { CheckCounts, Finding } from '../../src/base/findings.ts'
import { openSqlite } from '../../src/database/sqlite.ts'
import { checkDirectory } from '../../src/server/directory-check.ts'
import { migrations } from '../../src/server/migrations.ts'
import { openChunkStore } from '../../src/storage/chunk-store.ts'
import type { ChunkId } from '../../src/storage/chunks.ts'
import { LocalObjectStore } from '../../src/storage/local-objects.ts'
import { decodeIndex, type IndexedChunk, packKey } from '../../src/storage/packs/format.ts'
import { readPackIndex } from '../../src/storage/packs/pack-index.ts'
import { seededBytes } from '../../src/testing/seeded-random.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { commitFiles, commitOf, fileOf, putFile } from './files.ts'
import { atomOf, flush } from './pipelines.ts'
import { TestPachd } from './test-pachd.ts'

/** What a check told, from its first to its last word. */
export interface CheckResult {
  readonly findings: readonly Finding[]
  readonly counts: CheckCounts
}

/** The kinds of what was found, each once, sorted. */
export function kindsOf({ findings }: CheckResult): readonly string[] {
  return [...new Set(findings.map(({ kind }) => kind.name))].toSorted()
}

/** A data directory with something of everything in it, at rest; tests damage copies of it. */
export class WholeStore implements AsyncDisposable {
  readonly #directory: TemporaryDirectory
  #copyCount = 0

  private constructor(directory: TemporaryDirectory) {
    this.#directory = directory
  }

  static async make(): Promise<WholeStore> {
    await using made = new AsyncDisposableStack()
    const directory = made.use(await TemporaryDirectory.create())
    {
      await using pachd = await TestPachd.start({ root: directory.join('whole') })
      await fill(pachd)
    }
    made.move()
    return new WholeStore(directory)
  }

  async copy(): Promise<DamagedStore> {
    this.#copyCount += 1
    const root = this.#directory.join(`copy-${this.#copyCount}`)
    await cp(this.#directory.join('whole'), root, { recursive: true })
    return new DamagedStore(root)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#directory[Symbol.asyncDispose]()
  }
}

/** A file of one chunk that only `data` at its first commit has. */
export const chunkFileBytes: Uint8Array = seededBytes(1, 100_000)

async function fill(pachd: TestPachd): Promise<void> {
  const { pfs, pps, objects, files, secrets } = pachd
  for (const name of ['login', 'other']) {
    await secrets.createSecret({ name, entries: [{ name: 'password', value: seededBytes(8, 20) }] })
  }
  await pfs.createRepo({ repo: { name: 'data' } })
  const { id: first } = await pfs.startCommit({ parent: commitOf('data', ''), branch: 'master' })
  await putFile(pachd, fileOf('data', first, 'small'), 'small')
  await putFile(pachd, fileOf('data', first, 'chunk'), [chunkFileBytes])
  await putFile(pachd, fileOf('data', first, 'large'), [
    seededBytes(2, 3_000_000),
    seededBytes(3, 3_000_000),
  ])
  const value = Buffer.from('one of many files, which is longer than what is inline: about so much')
  const parts = Array.from({ length: 1000 }, (_, index) => ({ path: `many/${index}`, value }))
  await files.putFiles(once({ commit: commitOf('data', first), parts }))
  await pfs.finishCommit({ commit: commitOf('data', first) })
  await commitFiles(pachd, { repo: 'data', branch: 'master' }, { small: ', and more' })

  await pfs.startCommit({ parent: commitOf('data', ''), branch: 'open' })
  await putFile(pachd, fileOf('data', 'open', 'row'), 'in a row')
  await putFile(pachd, fileOf('data', 'open', 'stored'), [seededBytes(4, 100_000)])
  await files.putFiles(
    once({
      commit: commitOf('data', 'open'),
      parts: [{ path: 'bulk', value: seededBytes(5, 500) }],
    }),
  )

  await pfs.createRepo({ repo: { name: 'in' } })
  const stdin = ['cp -r ${PFS:-/pfs}/in/* ${PFS:-/pfs}/out/; echo done']
  const transform = { cmd: ['sh', '-e'], stdin }
  await pps.createPipeline({ pipeline: { name: 'copy' }, transform, input: atomOf('in', '/*') })
  const bad = { cmd: ['sh', '-c', 'exit 1'] }
  await pps.createPipeline({ pipeline: { name: 'bad' }, transform: bad, input: atomOf('in', '/*') })
  const text =
    'a text that is too long to be inline, so that it is a chunk of its own, of some size'
  const input = await commitFiles(
    pachd,
    { repo: 'in', branch: 'master' },
    { a: text, b: `${text}!` },
  )
  await flush(pachd, 'in', input).catch(() => undefined) // one of the two fails

  await pfs.createRepo({ repo: { name: 'far' }, provenance: [{ name: 'copy' }] })
  const { id: copied } = await lastOutputOf(pachd, 'copy')
  const { id: far } = await pfs.startCommit({
    parent: commitOf('far', ''),
    provenance: [commitOf('copy', copied)],
    branch: 'master',
  })
  await pfs.finishCommit({ commit: commitOf('far', far) })

  const put = async (seed: number, name: string): Promise<string> =>
    (await objects.putObject(once({ value: seededBytes(seed, 100_000), tags: [{ name }] }))).hash
  await put(6, 'kept')
  const gone = await put(7, 'gone')
  await objects.deleteObjects({ objects: [{ hash: gone }] })
  const { objects: names } = await pfs.inspectFile({ file: fileOf('data', first, 'chunk') })
  await objects.tagObject({ object: { hash: names[0]?.hash ?? '' }, tags: [{ name: 'file' }] })
}

async function* once<Item>(item: Item): AsyncGenerator<Item> {
  await Promise.resolve()
  yield item
}

async function lastOutputOf(
  { pps }: TestPachd,
  pipeline: string,
): Promise<{ readonly id: string }> {
  const { jobInfo } = await pps.listJob({ pipeline: { name: pipeline } })
  return { id: jobInfo[0]?.outputCommit?.id ?? '' }
}

/** A data directory at rest, to be damaged. */
export class DamagedStore {
  readonly root: string
  readonly metadata: string

  constructor(root: string) {
    this.root = root
    this.metadata = join(root, 'metadata.db')
  }

  /** Changes or reads rows behind the back of everybody. */
  sql(text: string, ...values: readonly (string | number | Uint8Array)[]): readonly Row[] {
    const database = new DatabaseSync(this.metadata)
    try {
      return database.prepare(text).all(...values) as readonly Row[]
    } finally {
      database.close()
    }
  }

  /** The first column of the first row. */
  value(text: string): string {
    const [row = {}] = this.sql(text)
    return String(Object.values(row)[0])
  }

  packPath(name: string): string {
    return join(this.root, 'objects', packKey(name))
  }

  /** The pack that holds a chunk, and where. */
  async find(id: ChunkId): Promise<{ readonly pack: string; readonly chunk: IndexedChunk }> {
    await using objects = LocalObjectStore.openForReading(join(this.root, 'objects'))
    for await (const info of objects.list('packs/')) {
      const name = info.key.slice(-64)
      const { index, dataEnd } = await readPackIndex(objects, info, name)
      for (const chunk of decodeIndex(index, dataEnd, name)) {
        if (chunk.id === id) return { pack: name, chunk }
      }
    }
    throw new Error(`no pack holds ${id}`)
  }

  /** As `find`, in packs that are listed. */
  async findListed(id: ChunkId): Promise<{ readonly pack: string }> {
    await using objects = LocalObjectStore.openForReading(join(this.root, 'objects'))
    for (const { name } of this.sql('SELECT name FROM packs')) {
      const key = packKey(String(name))
      const sizeBytes = await objects.sizeBytes(key).catch(() => 0)
      const found = await readPackIndex(objects, { key, sizeBytes }, String(name)).catch(
        () => undefined,
      )
      if (found === undefined) continue
      for (const chunk of decodeIndex(found.index, found.dataEnd, key)) {
        if (chunk.id === id) return { pack: String(name) }
      }
    }
    throw new Error(`no pack that is listed holds ${id}`)
  }

  /** Stores chunks as a writer that makes mistakes would. */
  async store(...chunks: readonly Uint8Array[]): Promise<readonly ChunkId[]> {
    await using opened = new AsyncDisposableStack()
    const database = opened.use(
      await openSqlite({ path: this.metadata, migrations, clock: new SystemClock() }),
    )
    const objects = opened.use(await LocalObjectStore.open(join(this.root, 'objects')))
    const scratchDirectory = join(this.root, 'scratch')
    const store = opened.use(await openChunkStore({ objects, database, scratchDirectory }))
    const ids: ChunkId[] = []
    for (const bytes of chunks) ids.push(await store.put(bytes))
    await store.flush()
    return ids
  }

  /** Turns a bit of a file over. */
  async flip(path: string, offset: number): Promise<void> {
    const bytes = await readFile(path)
    const at = offset < 0 ? bytes.length + offset : offset
    bytes[at] = (bytes[at] ?? 0) ^ 1
    await writeFile(path, bytes)
  }

  async check(
    options: { readonly full?: boolean; readonly fix?: boolean } = {},
  ): Promise<CheckResult> {
    const { full = false, fix = false } = options
    const ports = {
      clock: new SystemClock(),
      release: 'test',
      signal: new AbortController().signal,
    }
    const findings: Finding[] = []
    for await (const event of checkDirectory({ root: this.root, full, fix }, ports)) {
      if (event.kind === 'finding') findings.push(event.finding)
      else if (event.kind === 'end') return { findings, counts: event.counts }
    }
    throw new Error('the check has no end')
  }
}

type Row = Readonly<Record<string, string | number | Uint8Array | null>>
