import { type CommitRef, readCommitRef, writeRepoRef, writeText } from '../base/file-refs.ts'
import { WireReader } from '../base/wire-reader.ts'
import { utf8Size, WireWriter } from '../base/wire-writer.ts'
import type { CallOptions, Transport } from './transport.ts'

const request = { repo: 0x0a, branch: 0x12, message: 0x1a } as const
const response = { commit: 0x0a } as const

/**
 * Starts a commit on a branch, tells which it is, and has the server hold it for as long as the call lasts; by
 * hand, since generated code takes longer to load than the call. Only servers of this project know it.
 *
 * @throws {RpcError}
 */
export async function* holdCommit(
  transport: Transport,
  commit: { readonly repo: string; readonly branch: string; readonly message: string },
  options?: CallOptions,
): AsyncGenerator<CommitRef> {
  const writer = new WireWriter()
  writeRepoRef(writer, request.repo, commit.repo)
  writeText(writer, request.branch, commit.branch, utf8Size(commit.branch))
  writeText(writer, request.message, commit.message, utf8Size(commit.message))
  const path = '/pachyderm.Commits/HoldCommit'
  for await (const message of transport.serverStream(path, writer.take(), options)) {
    const reader = new WireReader(await message.parts())
    let held: CommitRef | undefined
    while (!reader.atEnd) {
      if (reader.tag() === response.commit) held = readCommitRef(reader, held)
      else reader.skip()
    }
    if (held !== undefined) yield held
  }
}
