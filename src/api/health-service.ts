import { Health } from '../gen/health_pb.ts'
import { service, type Route } from './grpc/service.ts'

/** health.Health: it answers as soon as the port is open, since nothing is served before that. */
export function healthRoutes(): readonly Route[] {
  return service(Health, { health: () => Promise.resolve({}) })
}
