import { expect } from 'vitest'
import type { ErrorKind } from '../../src/base/errors.ts'
import { Code } from '../../src/base/grpc-wire.ts'
import { newHexId, SystemRandom } from '../../src/base/random.ts'
import type { TestClient } from './test-pachd.ts'

/** The 1.5 services answer every failure with code 2; our own trailer says its kind. */
export function refused(kind: ErrorKind, text: string | RegExp): object {
  return failed(Code.unknown, kind, text)
}

/** A failure of a service of our own, or one that tells of the call itself. */
export function failed(code: Code, kind: ErrorKind | undefined, text: string | RegExp): object {
  const message: unknown =
    typeof text === 'string' ? expect.stringContaining(text) : expect.stringMatching(text)
  return expect.objectContaining({ code, kind, message }) as object
}

/** A name that no other test has. */
export function freshName(prefix: string): string {
  return `${prefix}-${newHexId(new SystemRandom()).slice(0, 8)}`
}

/** Makes a repo of a name that no other test has. */
export async function freshRepo(
  { pfs }: Pick<TestClient, 'pfs'>,
  provenance: readonly string[] = [],
): Promise<string> {
  const name = freshName('repo')
  await pfs.createRepo({
    repo: { name },
    provenance: provenance.map((source) => ({ name: source })),
  })
  return name
}
