import type { MessageInitShape } from '@bufbuild/protobuf'
import type { Commits, CommitTagInfoSchema } from '../../gen/pachyderm_pb.ts'
import type { CommitTagInfo } from '../../versioning/commit-tags.ts'
import type { Versioning } from '../../versioning/versioning.ts'
import type { ServiceHandlers } from '../grpc/service.ts'
import { commitMessage, timestampOf } from '../pfs/messages.ts'
import { requireCommit, requireRepo, requireText } from '../pfs/names.ts'

/** Commit tags in one batch: at most some 600 bytes each. */
const batchTagCount = 1000

type CommitTagMessage = MessageInitShape<typeof CommitTagInfoSchema>

/** TagCommit, ListCommitTags, DeleteCommitTag. */
export function commitTagHandlers({ commitTags }: Versioning): ServiceHandlers<typeof Commits> {
  return {
    async tagCommit({ commit: name, tag, move }) {
      const commit = requireCommit(name)
      return tagMessage(await commitTags.set({ ...commit, tag: requireTag(tag), move }))
    },

    async *listCommitTags({ repo }, { signal }) {
      let tags: CommitTagMessage[] = []
      const wanted = repo === undefined ? undefined : requireRepo(repo)
      for await (const info of commitTags.list(wanted, signal)) {
        tags.push(tagMessage(info))
        if (tags.length < batchTagCount) continue
        yield { tags }
        tags = []
      }
      if (tags.length > 0) yield { tags }
    },

    async deleteCommitTag({ repo, tag }) {
      await commitTags.delete(requireRepo(repo), requireTag(tag))
      return {}
    },
  }
}

export function requireTag(tag: string): string {
  return requireText(tag, 'tag', 'the name of a commit tag is needed')
}

function tagMessage({ repo, name, commit, taggedAt }: CommitTagInfo): CommitTagMessage {
  return { tag: name, commit: commitMessage(repo, commit), tagged: timestampOf(taggedAt) }
}
