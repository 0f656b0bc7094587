import { PassThrough, Writable } from 'node:stream'
import { afterEach, expect, test, vi } from 'vitest'
import { service } from '../../api/grpc/service.ts'
import { DiffKind, Files } from '../../gen/pachyderm_pb.ts'
import { FileType } from '../../gen/pfs_pb.ts'
import { GrpcFixture } from '../../testing/grpc-fixture.ts'
import { TemporaryDirectory } from '../../testing/temporary-directory.ts'
import { runPachctl } from '../pachctl.ts'

const fixture = new GrpcFixture()
afterEach(async () => {
  vi.unstubAllEnvs()
  await fixture.close()
})

const batchCount = 40
const batchRows = 1000

function fileAt(at: number): { file: { path: string }; fileType: FileType; sizeBytes: bigint } {
  const path = `/f${String(at).padStart(7, '0')}`
  return { file: { path }, fileType: FileType.FILE, sizeBytes: BigInt(at) }
}

/** The paths of every other file. */
function pathsFrom(first: number): readonly string[] {
  return Array.from({ length: batchCount * batchRows }, (_, at) => fileAt(2 * at + first).file.path)
}

/** Serves a long comparison, and prints it; temporary files are made in `directory`. */
async function diffLong(
  directory?: string,
): Promise<{ text: string; err: string; callCount: number }> {
  await using home = await TemporaryDirectory.create()
  if (directory !== undefined) vi.stubEnv('TMPDIR', directory)
  let callCount = 0
  const files = service(Files, {
    async *diffFiles() {
      callCount += 1
      for (let batch = 0; batch < batchCount; batch += 1) {
        const diffs = Array.from({ length: batchRows }, (_, row) => {
          const at = batch * batchRows + row
          return { kind: DiffKind.CHANGED, newFile: fileAt(2 * at), oldFile: fileAt(2 * at + 1) }
        })
        yield await Promise.resolve({ diffs })
      }
    },
  })
  const port = await fixture.serve(files)
  const written = { text: '', err: '' }
  const collector = (to: keyof typeof written): Writable =>
    new Writable({
      write(bytes: Buffer, _encoding, done) {
        written[to] += bytes.toString('latin1')
        done()
      },
    })
  await runPachctl(
    {
      argv: ['node', 'pachctl', 'diff-file', 'data', 'master', '/'],
      env: { ADDRESS: `127.0.0.1:${port}`, HOME: home.path },
      stdin: new PassThrough().end(),
      stdout: collector('text'),
      stderr: collector('err'),
    },
    { upgradeStore: () => Promise.reject(new Error('not called')) },
  )
  return { ...written, callCount }
}

test('both sides of any length come from one call, the old one below the new one', async () => {
  const { text, err, callCount } = await diffLong()
  expect(err).toBe('')
  expect(callCount).toBe(1)
  const names = text.split('\n').map((line) => line.split(' ')[0])
  expect(names).toEqual(['New', 'NAME', ...pathsFrom(0), 'Old', 'NAME', ...pathsFrom(1), ''])
})

test('where the old side cannot be kept, it is said which directory, and how to name another', async () => {
  const { err } = await diffLong('/nowhere/at/all')
  expect(err).toMatch(/cannot be kept in \/nowhere\/at\/all: ENOENT.*name another .* TMPDIR/)
})
