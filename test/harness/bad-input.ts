import { expect, test } from 'vitest'
import type { ErrorKind } from '../../src/base/errors.ts'
import { Code } from '../../src/base/grpc-wire.ts'
import { failed, freshRepo } from './expectations.ts'
import { collect, commitFiles, commitOf } from './files.ts'
import { type TestClient, TestPachd } from './test-pachd.ts'

/** A server with a repo that has a finished commit on `master` and an open one on `open`. */
export interface BadInputStage extends AsyncDisposable {
  readonly pachd: TestPachd
  readonly repo: string
  /** The id of the finished commit. */
  readonly finished: string
  /** What `everything` said when it was set up. */
  readonly before: string
}

export async function setUpBadInput(): Promise<BadInputStage> {
  const pachd = await TestPachd.start()
  const repo = await freshRepo(pachd)
  const finished = await commitFiles(pachd, { repo, branch: 'master' }, { a: '1', 'd/b': '2' })
  await pachd.pfs.startCommit({ parent: commitOf(repo, 'master'), branch: 'open' })
  const before = await everything(pachd)
  const close = async (): Promise<void> => pachd[Symbol.asyncDispose]()
  return { pachd, repo, finished, before, [Symbol.asyncDispose]: close }
}

/** One call that must be refused. */
export interface BadInput {
  readonly what: string
  readonly call: () => Promise<unknown>
  readonly kind: ErrorKind | undefined
  readonly text: string | RegExp
  /** `Code.unknown`, as 1.5 answers, if it is not said. */
  readonly code?: Code
}

/**
 * A test for each row: the answer is the error that the row says, nothing has changed, the server
 * still answers and takes none of it for a fault of its own.
 */
export function holdTo(stage: () => BadInputStage, rows: readonly BadInput[]): void {
  test.each(rows)('$what', async ({ call, kind, text, code = Code.unknown }) => {
    await expect(call()).rejects.toEqual(failed(code, kind, text))
    const { pachd, before } = stage()
    expect(await everything(pachd)).toBe(before)
    expect(pachd.log.filter((line) => line.includes(' error '))).toEqual([])
  })
}

/** All that the server says of repos, branches, commits, files and objects, as one text. */
async function everything({ pfs, objects }: TestClient): Promise<string> {
  const { repoInfo } = await pfs.listRepo({})
  const parts: unknown[] = [repoInfo, await collect(objects.listObjects({}))]
  for (const { repo } of repoInfo) {
    if (repo === undefined) continue
    const { commitInfo } = await pfs.listCommit({ repo })
    parts.push(await pfs.listBranch({ repo }), commitInfo)
    for (const { commit } of commitInfo) {
      if (commit === undefined) continue
      parts.push(await pfs.globFile({ commit, pattern: '/*' }))
      parts.push(await pfs.globFile({ commit, pattern: '/*/*' }))
    }
  }
  return JSON.stringify(parts, (_name, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value,
  )
}
