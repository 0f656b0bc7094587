import { createHash } from 'node:crypto'
import { mkdir, open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { FilePut } from '../src/client/file-transfers.ts'
import { seededBytes } from '../src/testing/seeded-random.ts'

const mib = 1024 * 1024

/** Bytes that differ for each seed, incompressible and the same in each run. */
function bytesOf(seed: string, count: number): Uint8Array {
  return seededBytes(createHash('sha256').update(seed).digest().readInt32LE(), count)
}

/** Writes `count` files of 1 KiB, spread evenly over directories. */
export async function writeSmallFiles(
  directory: string,
  { count, directories, seed }: { count: number; directories: number; seed: number },
): Promise<void> {
  for (let index = 0; index < directories; index += 1) {
    await mkdir(join(directory, `d${index}`), { recursive: true })
  }
  for (let index = 0; index < count; index += 1) {
    const path = join(directory, `d${index % directories}`, `f${index}`)
    await writeFile(path, bytesOf(`${seed}/${index}`, 1024))
  }
}

export async function writeLargeFile(path: string, sizeMib: number, seed: number): Promise<void> {
  await using file = await open(path, 'w')
  for (let part = 0; part < sizeMib; part += 1) await file.write(bytesOf(`${seed}/${part}`, mib))
  await file.sync()
}

/** `count` small files for a bulk upload, of 100 bytes, in `directory` itself. */
export function* smallChanges(directory: string, count: number, seed: number): Generator<FilePut> {
  for (let index = 0; index < count; index += 1) {
    const path = `${directory}/${String(index).padStart(7, '0')}`
    yield { path, bytes: bytesOf(`${seed}/${index}`, 100), overwrite: true }
  }
}

export type RecordFormat = 'line' | 'json' | 'csv' | 'sql'

const wrappings: Readonly<Record<RecordFormat, readonly [head: string, tail: string]>> = {
  line: ['', ''],
  json: ['', ''],
  csv: ['number,user,address,note\n', ''],
  sql: ['COPY public.t (number, name, address, note) FROM stdin;\n', '\\.\n\n-- complete\n'],
}

/** What many records are like: half of each is the same, half is not. */
function record(format: RecordFormat, number: number, noise: string): string {
  switch (format) {
    case 'line':
      return `2018-03-01T10:${number % 60} INFO request=${number} user=${noise} status=200 ms=${number % 977}\n`
    case 'json':
      return `{"number": ${number}, "user": "${noise}", "status": 200, "tags": ["a", "b"], "ms": ${number % 977}.5}\n`
    case 'csv':
      return `${number},"${noise}","12 ""Long"" Street",status 200\n`
    case 'sql':
      return `${number}\t${noise}\t12 Long Street\tstatus 200\\nof many\n`
  }
}

/** Writes a file of records, of 80 to 160 bytes, or of `bytes` each. */
export async function writeRecords(
  path: string,
  options: {
    readonly format: RecordFormat
    readonly sizeMib: number
    readonly seed: number
    readonly bytes?: number
  },
): Promise<void> {
  const { format, sizeMib, seed, bytes } = options
  await using file = await open(path, 'w')
  const [head, tail] = wrappings[format]
  await file.write(head)
  let number = 0
  for (let part = 0; part < sizeMib; part += 1) {
    const noise = Buffer.from(bytesOf(`${seed}/${part}`, mib)).toString('base64url')
    let text = ''
    for (let at = 0; text.length < mib; at += 40) {
      number += 1
      const fill =
        bytes === undefined ? '' : noise.slice(at, at + bytes - 90).padEnd(bytes - 90, '.')
      text += record(format, number, noise.slice(at, at + 24 + (number % 40)) + fill)
    }
    await file.write(text)
  }
  await file.write(tail)
  await file.sync()
}
