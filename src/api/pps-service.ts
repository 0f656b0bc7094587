import { API } from '../gen/pps_pb.ts'
import type { Processing } from '../pipelines/processing.ts'
import type { Collector } from '../storage/collector.ts'
import { service, type Route } from './grpc/service.ts'
import { jobHandlers } from './pps/job-handlers.ts'
import { pipelineHandlers } from './pps/pipeline-handlers.ts'

/** pps.API: pipelines, jobs, datums and logs, on the wire as in 1.5. */
export function ppsRoutes(processing: Processing, collector: Collector): readonly Route[] {
  return service(API, {
    ...pipelineHandlers(processing),
    ...jobHandlers(processing),

    /** By the rules of 1.5 about objects and tags. Waits for a collection that runs already. */
    async garbageCollect(_request, { signal }) {
      await collector.whenIdle()
      await collector.collect({ isStrict: true, signal })
      return {}
    },
  })
}
