import { API } from '../gen/pps_pb.ts'
import type { Processing } from '../pipelines/processing.ts'
import { service, type Route } from './grpc/service.ts'
import { jobHandlers } from './pps/job-handlers.ts'
import { pipelineHandlers } from './pps/pipeline-handlers.ts'

/** pps.API: pipelines, jobs, datums and logs, on the wire as in 1.5. */
export function ppsRoutes(processing: Processing): readonly Route[] {
  return service(API, { ...pipelineHandlers(processing), ...jobHandlers(processing) })
}
