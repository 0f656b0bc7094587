import type { MessageInitShape } from '@bufbuild/protobuf'
import { FailedPreconditionError } from '../base/errors.ts'
import { type FileOriginSchema, Jobs } from '../gen/pachyderm_pb.ts'
import type { DatumInfoSchema } from '../gen/pps_pb.ts'
import type { FileOrigin } from '../pipelines/file-lineage.ts'
import type { Processing } from '../pipelines/processing.ts'
import { service, type Route } from './grpc/service.ts'
import { commitMessage } from './pfs/messages.ts'
import { requireFile } from './pfs/names.ts'
import { requireJob } from './pps/job-handlers.ts'
import { datumInfoMessage } from './pps/job-messages.ts'

/** Datums in one batch: some 200 bytes each. */
const batchDatumCount = 1000
/** The most origins of one file that are told in one answer. */
const originCountMax = 10_000

/** pachyderm.Jobs: datums of any number, and where outputs come from. */
export function jobsRoutes({ jobs, lineage }: Processing): readonly Route[] {
  return service(Jobs, {
    async *listDatums({ job: name }) {
      const job = await jobs.inspect(requireJob(name))
      let datumInfo: MessageInitShape<typeof DatumInfoSchema>[] = []
      for await (const datum of jobs.datums(job.id)) {
        datumInfo.push(datumInfoMessage(datum, job))
        if (datumInfo.length < batchDatumCount) continue
        yield { datumInfo }
        datumInfo = []
      }
      if (datumInfo.length > 0) yield { datumInfo }
    },

    async lineage({ file }) {
      const origins: MessageInitShape<typeof FileOriginSchema>[] = []
      for await (const origin of lineage.origins(requireFile(file))) {
        if (origins.length === originCountMax) {
          throw new FailedPreconditionError(
            `more than ${originCountMax} datums wrote there: ask for a path deeper in the tree`,
          )
        }
        origins.push(originMessage(origin))
      }
      return { origins }
    },
  })
}

function originMessage(origin: FileOrigin): MessageInitShape<typeof FileOriginSchema> {
  return {
    job: { id: origin.job },
    datumId: origin.datum,
    inputs: origin.inputs.map(({ input, repo, commit, path, hash }) => ({
      inputName: input,
      file: { commit: commitMessage(repo, commit), path },
      hash,
    })),
  }
}
