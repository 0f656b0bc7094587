import { GetObjectCommand, HeadObjectCommand, type S3Client } from '@aws-sdk/client-s3'
import { type AsyncBuffer, parquetReadObjects } from 'hyparquet'
import { parquetWriteBuffer } from 'hyparquet-writer'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { S3World } from '../harness/s3-client.ts'

const rowCount = 200_000
const columnData = [
  { name: 'id', data: Array.from({ length: rowCount }, (_, index) => index), type: 'INT32' },
  { name: 'name', data: Array.from({ length: rowCount }, (_, index) => `pet ${index}`) },
  { name: 'weight', data: Array.from({ length: rowCount }, (_, index) => (index * 7919) / 13) },
] as const

let world: S3World
beforeAll(async () => {
  world = await S3World.start()
})
afterAll(async () => {
  await world[Symbol.asyncDispose]()
})

/** An object as readers of tables want it: by ranges, which are noted. */
async function rangesOf(
  client: S3Client,
  object: { readonly Bucket: string; readonly Key: string },
): Promise<AsyncBuffer & { readonly ranges: readonly string[] }> {
  const { ContentLength = 0 } = await client.send(new HeadObjectCommand(object))
  const ranges: string[] = []
  return {
    byteLength: ContentLength,
    ranges,
    async slice(start, end = ContentLength) {
      const Range = `bytes=${start}-${end - 1}`
      ranges.push(Range)
      const { Body, ContentRange } = await client.send(new GetObjectCommand({ ...object, Range }))
      expect(ContentRange).toBe(`bytes ${start}-${end - 1}/${ContentLength}`)
      const bytes = (await Body?.transformToByteArray()) ?? new Uint8Array()
      return Uint8Array.from(bytes).buffer
    },
  }
}

test('a reader of Parquet gets the rows and columns that it wants, by ranges', async () => {
  const Bucket = await world.bucket()
  const bytes = new Uint8Array(
    parquetWriteBuffer({
      columnData: columnData.map((column) => ({ ...column })),
      rowGroupSize: 20_000,
    }),
  )
  await world.put(Bucket, 'pets.parquet', bytes)
  const file = await rangesOf(world.client, { Bucket, Key: 'pets.parquet' })
  const rows = await parquetReadObjects({
    file,
    columns: ['id', 'weight'],
    rowStart: 119_999,
    rowEnd: 120_002,
  })
  expect(rows).toEqual([119_999, 120_000, 120_001].map((id) => ({ id, weight: (id * 7919) / 13 })))
  const sizes = file.ranges.map((range) => {
    const [first = 0, last = 0] = range.slice('bytes='.length).split('-').map(Number)
    return last - first + 1
  })
  expect(sizes.length).toBeGreaterThan(1)
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(bytes.length / 2)
  const all = await parquetReadObjects({ file, columns: ['name'] })
  expect(all.length).toBe(rowCount)
  expect(all.at(-1)).toEqual({ name: `pet ${rowCount - 1}` })
})
