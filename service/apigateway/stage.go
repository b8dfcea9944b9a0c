package apigateway

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"fogbank/api/apigatewayv2"
	"fogbank/store"
)

// stage is the record of a stage: under which name a deployment is served.
type stage struct {
	Created, Updated int64 // milliseconds since 1970
	AutoDeploy       bool  `json:",omitempty"`
	Deployment       string
	Description      string            `json:",omitempty"`
	Message          string            `json:",omitempty"` // about the last automatic deployment
	Variables        map[string]string `json:",omitempty"`
	Tags             map[string]string `json:",omitempty"`
	Managed          bool              `json:",omitempty"` // made by quick create
}

// deployment is a copy of what an API was.
type deployment struct {
	Created      int64
	Auto         bool   `json:",omitempty"`
	Description  string `json:",omitempty"`
	Cors         *cors  `json:",omitempty"`
	Routes       []route
	Integrations map[string]integration // by id; those the routes lead to
}

var (
	stages      = store.NewTable[stage]("apigateway/stage", store.Regional)
	deployments = store.NewTable[deployment]("apigateway/deployment", store.Regional)
	routers     = store.Derive(deployments, func(_ store.Key, d deployment) (*router, error) { return newRouter(d), nil })
)

const (
	defaultStage   = "$default"
	maxStages      = 10
	maxDeployments = 100
	noRoutes       = "At least one route is required before deploying the Api."
)

// snapshot copies what an API is now; ok is false when it has no routes.
func snapshot(tx *store.Tx, id string, a api, now time.Time) (d deployment, ok bool) {
	d = deployment{Created: now.UnixMilli(), Cors: a.Cors, Integrations: map[string]integration{}}
	for _, r := range routes.All(tx, store.K(id)) {
		d.Routes = append(d.Routes, r)
		if name, ok := strings.CutPrefix(r.Target, targetPrefix); ok {
			d.Integrations[name], _ = integrations.Get(tx, store.K(id, name))
		}
	}
	return d, len(d.Routes) > 0
}

// deployChanges gives the stages that follow changes a new deployment, and drops the automatic one
// they had.
func deployChanges(tx *store.Tx, id string, a api, deploymentID string, now time.Time) {
	old := map[string]bool{}
	used := map[string]bool{}
	d, ok := snapshot(tx, id, a, now)
	d.Auto = true
	for key, st := range stages.All(tx, store.K(id)) {
		if !st.AutoDeploy {
			used[st.Deployment] = true
			continue
		}
		old[st.Deployment] = true
		st.Updated = now.UnixMilli()
		if !ok {
			st.Deployment, st.Message = "", "Deployment attempt failed: "+noRoutes
		} else {
			st.Deployment, st.Message = deploymentID, fmt.Sprintf("Successfully deployed stage with deployment ID '%s'", deploymentID)
		}
		stages.Put(tx, key, st)
	}
	if ok && len(old) > 0 {
		deployments.Put(tx, store.K(id, deploymentID), d)
	}
	for name := range old {
		before, found := deployments.Get(tx, store.K(id, name))
		if found && before.Auto && !used[name] && name != deploymentID {
			deployments.Delete(tx, store.K(id, name))
		}
	}
}

func findStage(tx *store.Tx, api, name string) (stage, error) {
	st, ok := stages.Get(tx, store.K(api, name))
	if !ok {
		return st, apigatewayv2.NotFoundException("Invalid stage identifier specified")
	}
	return st, nil
}

// CreateStage makes a name under which a deployment is served.
func (s *Service) CreateStage(ctx context.Context, in *apigatewayv2.CreateStageInput) (*apigatewayv2.CreateStageOutput, error) {
	asked := apigatewayv2.UpdateStageInput{AccessLogSettings: in.AccessLogSettings, ApiId: in.ApiId, AutoDeploy: in.AutoDeploy,
		ClientCertificateId: in.ClientCertificateId, DefaultRouteSettings: in.DefaultRouteSettings, DeploymentId: in.DeploymentId,
		Description: in.Description, RouteSettings: in.RouteSettings, StageName: in.StageName, StageVariables: in.StageVariables}
	if !validStage(in.StageName) {
		return nil, apigatewayv2.BadRequestException("Stage name only allows a-zA-Z0-9_- or $default")
	}
	if len(in.Tags) > maxTags {
		return nil, apigatewayv2.BadRequestException("A stage can have no more than %d tags", maxTags)
	}
	now := s.world.Now()
	err := s.change(ctx, in.ApiId, func(tx *store.Tx, _ *api) error {
		if stages.Has(tx, store.K(in.ApiId, in.StageName)) {
			return apigatewayv2.ConflictException("Stage already exists")
		}
		if err := room(tx, stages, store.K(in.ApiId), maxStages, "stages"); err != nil {
			return err
		}
		st := stage{Created: now.UnixMilli(), Tags: in.Tags}
		return st.update(tx, &asked, now)
	})
	if err != nil {
		return nil, err
	}
	return s.stage(ctx, in.ApiId, in.StageName)
}

// validStage reports whether a stage may be called so.
func validStage(name string) bool {
	return name == defaultStage || name != "" && len(name) <= 128 && strings.Trim(strings.ToLower(name), idLetters+"_-") == ""
}

// update applies what is given of a stage, checks the whole and stores it.
func (st *stage) update(tx *store.Tx, in *apigatewayv2.UpdateStageInput, now time.Time) error {
	set(&st.AutoDeploy, in.AutoDeploy)
	set(&st.Description, in.Description)
	switch {
	case in.AccessLogSettings != nil:
		return notImplemented("access logs")
	case !harmless(in.DefaultRouteSettings) || len(in.RouteSettings) > 0:
		return notImplemented("throttling, detailed metrics and logging of routes")
	case in.ClientCertificateId != nil:
		return apigatewayv2.BadRequestException("Client certificates are not supported for HTTP APIs")
	case in.DeploymentId != nil && st.AutoDeploy:
		return apigatewayv2.BadRequestException("DeploymentId cannot be set when AutoDeploy is enabled")
	}
	for name, value := range in.StageVariables {
		if strings.Trim(strings.ToLower(name), idLetters+"_") != "" || len(value) > 512 {
			return apigatewayv2.BadRequestException("Invalid stage variable %s", name)
		}
		if value == "" {
			delete(st.Variables, name)
			continue
		}
		if st.Variables == nil {
			st.Variables = map[string]string{}
		}
		st.Variables[name] = value
	}
	if in.DeploymentId != nil {
		if !deployments.Has(tx, store.K(in.ApiId, *in.DeploymentId)) {
			return apigatewayv2.NotFoundException("Invalid Deployment identifier specified")
		}
		st.Deployment = *in.DeploymentId
	}
	st.Updated = now.UnixMilli()
	stages.Put(tx, store.K(in.ApiId, in.StageName), *st)
	return nil
}

// harmless reports settings that ask for nothing.
func harmless(r *apigatewayv2.RouteSettings) bool {
	return r == nil || !r.GetDataTraceEnabled() && !r.GetDetailedMetricsEnabled() && r.ThrottlingBurstLimit == nil && r.ThrottlingRateLimit == nil &&
		(r.LoggingLevel == nil || *r.LoggingLevel == "OFF")
}

// stage reads and describes a stage.
func (s *Service) stage(ctx context.Context, api, name string) (*apigatewayv2.CreateStageOutput, error) {
	var st stage
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		if _, err = findAPI(tx, api); err == nil {
			st, err = findStage(tx, api, name)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return describeStage(name, st), nil
}

func describeStage(name string, st stage) *apigatewayv2.CreateStageOutput {
	d := &apigatewayv2.CreateStageOutput{AutoDeploy: new(st.AutoDeploy), CreatedDate: moment(st.Created), LastUpdatedDate: moment(st.Updated),
		DefaultRouteSettings: &apigatewayv2.RouteSettings{DetailedMetricsEnabled: new(false)}, DeploymentId: optional(st.Deployment),
		Description: optional(st.Description), LastDeploymentStatusMessage: optional(st.Message), RouteSettings: map[string]apigatewayv2.RouteSettings{},
		StageName: new(name), StageVariables: maps.Clone(st.Variables), Tags: maps.Clone(st.Tags)}
	if d.StageVariables == nil {
		d.StageVariables = map[string]string{}
	}
	if d.Tags == nil {
		d.Tags = map[string]string{}
	}
	if st.Managed {
		d.ApiGatewayManaged = new(true)
	}
	return d
}

// moment is a stored time as the API shows it, in whole seconds.
func moment(ms int64) *time.Time { return new(time.UnixMilli(ms).UTC().Truncate(time.Second)) }

// GetStage describes a stage.
func (s *Service) GetStage(ctx context.Context, in *apigatewayv2.GetStageInput) (*apigatewayv2.GetStageOutput, error) {
	out, err := s.stage(ctx, in.ApiId, in.StageName)
	return (*apigatewayv2.GetStageOutput)(out), err
}

// GetStages lists the stages of an API.
func (s *Service) GetStages(ctx context.Context, in *apigatewayv2.GetStagesInput) (*apigatewayv2.GetStagesOutput, error) {
	out := &apigatewayv2.GetStagesOutput{Items: []apigatewayv2.Stage{}}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		_, err := findAPI(tx, in.ApiId)
		if err == nil {
			out.NextToken, err = page(tx, stages, store.K(in.ApiId), in.GetMaxResults(), in.GetNextToken(), func(name string, st stage) {
				d := describeStage(name, st)
				out.Items = append(out.Items, apigatewayv2.Stage{ApiGatewayManaged: d.ApiGatewayManaged, AutoDeploy: d.AutoDeploy,
					CreatedDate: d.CreatedDate, DefaultRouteSettings: d.DefaultRouteSettings, DeploymentId: d.DeploymentId,
					Description: d.Description, LastDeploymentStatusMessage: d.LastDeploymentStatusMessage, LastUpdatedDate: d.LastUpdatedDate,
					RouteSettings: d.RouteSettings, StageName: name, StageVariables: d.StageVariables, Tags: d.Tags})
			})
		}
		return err
	})
}

// UpdateStage changes what is given of a stage.
func (s *Service) UpdateStage(ctx context.Context, in *apigatewayv2.UpdateStageInput) (*apigatewayv2.UpdateStageOutput, error) {
	now := s.world.Now()
	err := s.change(ctx, in.ApiId, func(tx *store.Tx, _ *api) error {
		st, err := findStage(tx, in.ApiId, in.StageName)
		if err != nil {
			return err
		}
		return st.update(tx, in, now)
	})
	if err != nil {
		return nil, err
	}
	out, err := s.stage(ctx, in.ApiId, in.StageName)
	return (*apigatewayv2.UpdateStageOutput)(out), err
}

// DeleteStage deletes a stage.
func (s *Service) DeleteStage(ctx context.Context, in *apigatewayv2.DeleteStageInput) (*apigatewayv2.DeleteStageOutput, error) {
	return &apigatewayv2.DeleteStageOutput{}, s.change(ctx, in.ApiId, func(tx *store.Tx, _ *api) error {
		st, err := findStage(tx, in.ApiId, in.StageName)
		if err != nil {
			return err
		}
		stages.Delete(tx, store.K(in.ApiId, in.StageName))
		if d, ok := deployments.Get(tx, store.K(in.ApiId, st.Deployment)); ok && d.Auto && !served(tx, in.ApiId, st.Deployment) {
			deployments.Delete(tx, store.K(in.ApiId, st.Deployment))
		}
		return nil
	})
}

// served reports whether a stage serves a deployment.
func served(tx *store.Tx, api, id string) bool {
	for _, st := range stages.All(tx, store.K(api)) {
		if st.Deployment == id {
			return true
		}
	}
	return false
}

// CreateDeployment keeps a copy of an API as it is, and gives it to a stage when one is named.
func (s *Service) CreateDeployment(ctx context.Context, in *apigatewayv2.CreateDeploymentInput) (*apigatewayv2.CreateDeploymentOutput, error) {
	id, now := s.newID(6), s.world.Now()
	var d deployment
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		a, err := findAPI(tx, in.ApiId)
		if err != nil {
			return err
		}
		if err := room(tx, deployments, store.K(in.ApiId), maxDeployments, "deployments"); err != nil {
			return err
		}
		var ok bool
		if d, ok = snapshot(tx, in.ApiId, a, now); !ok {
			return apigatewayv2.BadRequestException(noRoutes)
		}
		d.Description = in.GetDescription()
		deployments.Put(tx, store.K(in.ApiId, id), d)
		if in.StageName == nil {
			return nil
		}
		st, err := findStage(tx, in.ApiId, *in.StageName)
		if err != nil {
			return err
		}
		if st.AutoDeploy {
			return apigatewayv2.BadRequestException("A stage with AutoDeploy enabled cannot be deployed to")
		}
		st.Deployment, st.Updated = id, now.UnixMilli()
		stages.Put(tx, store.K(in.ApiId, *in.StageName), st)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return new(apigatewayv2.CreateDeploymentOutput(describeDeployment(id, d))), nil
}

func describeDeployment(id string, d deployment) apigatewayv2.Deployment {
	return apigatewayv2.Deployment{AutoDeployed: new(d.Auto), CreatedDate: moment(d.Created), DeploymentId: new(id),
		DeploymentStatus: new("DEPLOYED"), Description: optional(d.Description)}
}

func findDeployment(tx *store.Tx, api, id string) (deployment, error) {
	if _, err := findAPI(tx, api); err != nil {
		return deployment{}, err
	}
	d, ok := deployments.Get(tx, store.K(api, id))
	if !ok {
		return d, apigatewayv2.NotFoundException("Invalid Deployment identifier specified")
	}
	return d, nil
}

// GetDeployment describes a deployment.
func (s *Service) GetDeployment(ctx context.Context, in *apigatewayv2.GetDeploymentInput) (*apigatewayv2.GetDeploymentOutput, error) {
	var d deployment
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		d, err = findDeployment(tx, in.ApiId, in.DeploymentId)
		return err
	})
	if err != nil {
		return nil, err
	}
	return new(apigatewayv2.GetDeploymentOutput(describeDeployment(in.DeploymentId, d))), nil
}

// GetDeployments lists the deployments of an API.
func (s *Service) GetDeployments(ctx context.Context, in *apigatewayv2.GetDeploymentsInput) (*apigatewayv2.GetDeploymentsOutput, error) {
	out := &apigatewayv2.GetDeploymentsOutput{Items: []apigatewayv2.Deployment{}}
	return out, s.db.View(ctx, func(tx *store.Tx) error {
		_, err := findAPI(tx, in.ApiId)
		if err == nil {
			out.NextToken, err = page(tx, deployments, store.K(in.ApiId), in.GetMaxResults(), in.GetNextToken(), func(id string, d deployment) {
				out.Items = append(out.Items, describeDeployment(id, d))
			})
		}
		return err
	})
}

// UpdateDeployment changes a deployment's description.
func (s *Service) UpdateDeployment(ctx context.Context, in *apigatewayv2.UpdateDeploymentInput) (*apigatewayv2.UpdateDeploymentOutput, error) {
	var d deployment
	err := s.db.Update(ctx, func(tx *store.Tx) (err error) {
		if d, err = findDeployment(tx, in.ApiId, in.DeploymentId); err != nil {
			return err
		}
		set(&d.Description, in.Description)
		deployments.Put(tx, store.K(in.ApiId, in.DeploymentId), d)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return new(apigatewayv2.UpdateDeploymentOutput(describeDeployment(in.DeploymentId, d))), nil
}

// DeleteDeployment deletes a deployment no stage serves.
func (s *Service) DeleteDeployment(ctx context.Context, in *apigatewayv2.DeleteDeploymentInput) (*apigatewayv2.DeleteDeploymentOutput, error) {
	return &apigatewayv2.DeleteDeploymentOutput{}, s.db.Update(ctx, func(tx *store.Tx) error {
		if _, err := findDeployment(tx, in.ApiId, in.DeploymentId); err != nil {
			return err
		}
		if served(tx, in.ApiId, in.DeploymentId) {
			return apigatewayv2.BadRequestException("Active stages pointing to this deployment must be moved or deleted")
		}
		deployments.Delete(tx, store.K(in.ApiId, in.DeploymentId))
		return nil
	})
}
