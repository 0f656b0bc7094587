import type { MessageInitShape } from '@bufbuild/protobuf'
import { rootPath } from '../../base/paths.ts'
import { DiffKind, type FileChangeSchema, type Files } from '../../gen/pachyderm_pb.ts'
import type { FileChange } from '../../versioning/files.ts'
import type { Versioning } from '../../versioning/versioning.ts'
import type { ServiceHandlers } from '../grpc/service.ts'
import { fileMessage } from '../pfs/file-diff.ts'
import { commitInfoMessage } from '../pfs/messages.ts'
import { requireCount, requireFile } from '../pfs/names.ts'

const kinds: Readonly<Record<FileChange['kind'], DiffKind>> = {
  added: DiffKind.ADDED,
  changed: DiffKind.CHANGED,
  removed: DiffKind.REMOVED,
}

/** FileHistory: what is found in each stretch of commits is one batch, sent when it is found. */
export function fileHistoryHandlers({ files }: Versioning): ServiceHandlers<typeof Files> {
  return {
    async *fileHistory({ file: name, number }, { signal }) {
      const file = requireFile(name)
      const options = { countMax: requireCount(number, 'number'), signal }
      for await (const changes of files.history(file, options)) {
        yield { changes: changes.map((change) => changeMessage(file.path, change)) }
      }
    },
  }
}

function changeMessage(
  path: string,
  { kind, commit, after }: FileChange,
): MessageInitShape<typeof FileChangeSchema> {
  const fileInfo = fileMessage({ repo: commit.repo, commit: commit.id, path }, rootPath, after)
  return {
    kind: kinds[kind],
    commitInfo: commitInfoMessage(commit),
    ...(fileInfo !== undefined && { fileInfo }),
  }
}
