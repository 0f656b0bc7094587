import type { MessageInitShape } from '@bufbuild/protobuf'
import type {
  FileDerivationSchema,
  FileDerivationsBatchSchema,
  FileOriginSchema,
} from '../../gen/pachyderm_pb.ts'
import type { FileDerivation, FileOrigin } from '../../pipelines/file-lineage.ts'
import { commitMessage } from '../pfs/messages.ts'
import { datumStateCodes } from '../pps/job-messages.ts'

/** Characters of paths in one batch, and what a derivation counts besides. */
const batchLengthMax = 128 * 1024
const derivationLength = 200

export function originMessage(origin: FileOrigin): MessageInitShape<typeof FileOriginSchema> {
  return {
    job: { id: origin.job },
    pipeline: { name: origin.pipeline },
    datumId: origin.datum,
    inputs: origin.inputs.map(({ input, repo, commit, path, hash }) => ({
      inputName: input,
      file: { commit: commitMessage(repo, commit), path },
      hash,
    })),
  }
}

/** What comes, in batches that are sent when they are full. */
export async function* derivationBatches(
  derived: AsyncIterable<FileDerivation>,
): AsyncGenerator<MessageInitShape<typeof FileDerivationsBatchSchema>> {
  let derivations: MessageInitShape<typeof FileDerivationSchema>[] = []
  let length = 0
  for await (const derivation of derived) {
    derivations.push(derivationMessage(derivation))
    length += derivationLength
    for (const path of derivation.paths) length += path.length
    if (length < batchLengthMax) continue
    yield { derivations }
    derivations = []
    length = 0
  }
  if (derivations.length > 0) yield { derivations }
}

function derivationMessage(
  derivation: FileDerivation,
): MessageInitShape<typeof FileDerivationSchema> {
  const { output } = derivation
  return {
    job: { id: derivation.job },
    pipeline: { name: derivation.pipeline },
    datumId: derivation.datum,
    state: datumStateCodes[derivation.state],
    ...(output !== undefined && { outputCommit: commitMessage(output.repo, output.commit) }),
    paths: [...derivation.paths],
  }
}
