import { FailedPreconditionError } from '../../base/errors.ts'
import type { API, GetLogsRequest, Job } from '../../gen/pps_pb.ts'
import type { LogFilter } from '../../pipelines/job-logs.ts'
import type { JobRecord } from '../../pipelines/job-records.ts'
import type { Processing } from '../../pipelines/processing.ts'
import type { ServiceHandlers } from '../grpc/service.ts'
import { instantOf } from '../pfs/messages.ts'
import { requireText } from '../pfs/names.ts'
import { datumInfoMessage, jobInfoMessage, logMessage } from './job-messages.ts'
import type { MessageInitShape } from '@bufbuild/protobuf'
import type { DatumInfoSchema } from '../../gen/pps_pb.ts'

/** The most datums that fit in the one message of pps.API.ListDatum. */
const listedDatumCountMax = 50_000

export function jobHandlers({ jobs, logs, active }: Processing): ServiceHandlers<typeof API> {
  return {
    async inspectJob({ job: name, blockState }, { signal }) {
      const id = requireJob(name)
      const job = blockState ? await jobs.waitForEnd(id, signal) : await jobs.inspect(id)
      const workers = job.state === 'running' ? active.of(job.id) : []
      return jobInfoMessage(job, await jobs.specOf(job), workers)
    },

    async listJob({ pipeline, inputCommit }) {
      const inputs = inputCommit.map(({ repo, id }) => ({ repo: repo?.name ?? '', commit: id }))
      const listed = await jobs.list(pipeline?.name, inputs)
      const specs = await jobs.specsOf(listed)
      return { jobInfo: listed.map((job) => jobInfoMessage(job, specs(job))) }
    },

    async deleteJob({ job }) {
      await jobs.delete(requireJob(job))
      return {}
    },

    async stopJob({ job }) {
      await jobs.stop(requireJob(job))
      return {}
    },

    async restartDatum({ job, dataFilters }) {
      await jobs.restartDatum(requireJob(job), dataFilters)
      return {}
    },

    async listDatum({ job: name }) {
      const job = await jobs.inspect(requireJob(name))
      const datumInfo: MessageInitShape<typeof DatumInfoSchema>[] = []
      for await (const datum of jobs.datums(job.id)) {
        if (datumInfo.length === listedDatumCountMax) throw tooManyDatums(job)
        datumInfo.push(datumInfoMessage(datum, job))
      }
      return { datumInfo }
    },

    async inspectDatum({ datum }) {
      const job = await jobs.inspect(requireJob(datum?.job, 'datum.job'))
      const id = requireText(datum?.id, 'datum.id', 'a datum id is needed')
      return datumInfoMessage(await jobs.inspectDatum(job.id, id), job)
    },

    async *getLogs(request, { signal }) {
      // Nothing runs as a master here: what 1.5 logged there is in the job itself.
      if (request.master) return
      const { follow: follows, tail } = request
      const options = { follows, signal, ...(tail !== 0 && { tail }) }
      for await (const line of logs.lines(logFilter(request), options)) yield logMessage(line)
    },
  }
}

function logFilter(request: GetLogsRequest): LogFilter {
  const { job, pipeline, inputFileId, dataFilters, workerId, since, text, skipped } = request
  return {
    job: job?.id || undefined,
    pipeline: pipeline?.name || undefined,
    version: Number(request.pipelineVersion) || undefined,
    datum: inputFileId || undefined,
    data: dataFilters,
    worker: workerId || undefined,
    since: since && instantOf(since),
    text,
    withSkipped: skipped,
  }
}

/** @throws {InvalidArgumentError} when no job is named. */
export function requireJob(job: Job | undefined, what = 'job'): string {
  return requireText(job?.id, `${what}.id`, 'a job id is needed')
}

function tooManyDatums(job: JobRecord): Error {
  return new FailedPreconditionError(
    `job ${job.id} has ${job.counts.total} datums, more than one message can hold (${listedDatumCountMax}): use pachyderm.Jobs/ListDatums, which streams them`,
  )
}
