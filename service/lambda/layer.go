package lambda

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"fogbank/api/lambda"
	"fogbank/aws"
	"fogbank/compute"
	"fogbank/store"
)

// layer is the stored record of a version of a layer.
type layer struct {
	Name          string
	Number        uint64
	Package       string // hexadecimal SHA-256
	PackageBytes  int64
	Unzipped      int64 // bytes
	Description   string
	License       string
	Runtimes      []string
	Architectures []string
	Created       time.Time
}

// layerUse is a layer in a function. It goes on when the layer is deleted.
type layerUse struct {
	ARN      string
	Package  string
	Bytes    int64
	Unzipped int64
}

var (
	layers = store.NewTable[layer]("lambda/layer", store.Regional)
	// layerNumbers has the last number given to a version of a layer; none is given twice.
	layerNumbers = store.NewTable[uint64]("lambda/layernumber", store.Regional)
)

// maxLayers is how many layers a function has at most.
// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const maxLayers = 5

// layerReference is a layer, or a version of it, as a request names it.
type layerReference struct {
	account, region, name string
	number                uint64 // 0 when none was given
}

// referLayer reads a layer's name or ARN; a version's ARN brings its number along.
func referLayer(ctx context.Context, name string, number int64) (layerReference, error) {
	c := aws.CallFrom(ctx)
	l := layerReference{c.Account, c.Region, name, uint64(number)}
	if !strings.HasPrefix(name, "arn:") {
		return l, nil
	}
	arn := aws.ARN(name)
	parts := strings.Split(arn.Resource(), ":")
	if arn.Service() != "lambda" || len(parts) < 2 || len(parts) > 3 || parts[0] != "layer" {
		return l, lambda.InvalidParameterValueException("Invalid Layer ARN: %s", name)
	}
	if arn.Region() != c.Region {
		return l, lambda.InvalidParameterValueException("Layers from '%s' are not reachable in this region ('%s')", arn.Region(), c.Region)
	}
	l.account, l.region, l.name = arn.Account(), arn.Region(), parts[1]
	if len(parts) == 3 {
		n, ok := versionNumber(parts[2])
		if !ok {
			return l, lambda.InvalidParameterValueException("Invalid Layer ARN: %s", name)
		}
		l.number = n
	}
	return l, nil
}

// arn is the ARN of the layer, of the version when the reference has a number.
func (l layerReference) arn() aws.ARN {
	resource := "layer:" + l.name
	if l.number > 0 {
		resource += ":" + strconv.FormatUint(l.number, 10)
	}
	return aws.MakeARN("lambda", l.region, l.account, resource)
}

// bare is the layer without a version.
func (l layerReference) bare() layerReference {
	l.number = 0
	return l
}

func (l layerReference) key() store.Key { return store.K(l.name, l.number) }

// holder is who uses the version's package, as lambda/package names it.
func (l layerReference) holder() string {
	return "layer:" + l.name + ":" + strconv.FormatUint(l.number, 10)
}

// findLayer returns a version of a layer.
func findLayer(tx *store.Tx, l layerReference) (layer, error) {
	v, ok := layers.Get(tx, l.key())
	if !ok {
		return v, lambda.ResourceNotFoundException("The resource you requested does not exist.")
	}
	return v, nil
}

// PublishLayerVersion makes a version of a layer from a zip file.
func (s *Service) PublishLayerVersion(ctx context.Context, in *lambda.PublishLayerVersionInput) (*lambda.PublishLayerVersionOutput, error) {
	if in.Content.S3Bucket != nil || in.Content.S3Key != nil {
		return nil, unwritten("code from S3; pass the zip file itself as Content.ZipFile")
	}
	l, err := referLayer(ctx, in.LayerName, 0)
	if err != nil {
		return nil, err
	}
	var code function
	if err := s.putCode(&code, in.Content.ZipFile); err != nil {
		return nil, err
	}
	v := layer{Name: l.name, Package: code.Package, PackageBytes: code.PackageBytes, Unzipped: code.Unzipped, Description: in.GetDescription(),
		License: in.GetLicenseInfo(), Runtimes: in.CompatibleRuntimes, Architectures: in.CompatibleArchitectures, Created: s.world.Now()}
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		n, _ := layerNumbers.Get(tx, store.K(l.name))
		l.number = n + 1
		v.Number = l.number
		layerNumbers.Put(tx, store.K(l.name), l.number)
		layers.Put(tx, l.key(), v)
		packages.Put(tx, packageKey(tx, v.Package, l.holder()), struct{}{})
		return nil
	})
	if err != nil {
		return nil, err
	}
	d, err := s.describeLayer(ctx, l, v)
	if err != nil {
		return nil, err
	}
	return &lambda.PublishLayerVersionOutput{Content: d.Content, LayerArn: d.LayerArn, LayerVersionArn: d.LayerVersionArn, Description: d.Description,
		CreatedDate: d.CreatedDate, Version: d.Version, CompatibleRuntimes: d.CompatibleRuntimes, LicenseInfo: d.LicenseInfo,
		CompatibleArchitectures: d.CompatibleArchitectures}, nil
}

// describeLayer is a version with the place its package can be downloaded from for a while.
func (s *Service) describeLayer(ctx context.Context, l layerReference, v layer) (*lambda.GetLayerVersionOutput, error) {
	location, err := s.downloadURL(ctx, v.Package)
	if err != nil {
		return nil, err
	}
	d := &lambda.GetLayerVersionOutput{
		Content:  &lambda.LayerVersionContentOutput{Location: &location, CodeSha256: new(base64Sum(v.Package)), CodeSize: &v.PackageBytes},
		LayerArn: new(string(l.bare().arn())), LayerVersionArn: new(string(l.arn())), Description: &v.Description,
		CreatedDate: new(v.Created.Format(modifiedForm)), Version: new(int64(v.Number)), CompatibleRuntimes: v.Runtimes,
		CompatibleArchitectures: v.Architectures,
	}
	if v.License != "" {
		d.LicenseInfo = &v.License
	}
	return d, nil
}

// GetLayerVersion describes a version of a layer.
func (s *Service) GetLayerVersion(ctx context.Context, in *lambda.GetLayerVersionInput) (*lambda.GetLayerVersionOutput, error) {
	l, err := referLayer(ctx, in.LayerName, in.VersionNumber)
	if err != nil {
		return nil, err
	}
	return s.getLayer(ctx, l)
}

// GetLayerVersionByArn describes a version of a layer.
func (s *Service) GetLayerVersionByArn(ctx context.Context, in *lambda.GetLayerVersionByArnInput) (*lambda.GetLayerVersionByArnOutput, error) {
	l, err := referLayer(ctx, in.Arn, 0)
	if err != nil {
		return nil, err
	}
	return s.getLayer(ctx, l)
}

func (s *Service) getLayer(ctx context.Context, l layerReference) (*lambda.GetLayerVersionOutput, error) {
	var v layer
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		v, err = findLayer(tx.In(l.account, l.region), l)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s.describeLayer(ctx, l, v)
}

// DeleteLayerVersion removes a version; functions that use it go on. One that is not there is no error.
func (s *Service) DeleteLayerVersion(ctx context.Context, in *lambda.DeleteLayerVersionInput) (*lambda.DeleteLayerVersionOutput, error) {
	l, err := referLayer(ctx, in.LayerName, in.VersionNumber)
	if err != nil {
		return nil, err
	}
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		v, ok := layers.Get(tx, l.key())
		if !ok {
			return nil
		}
		layers.Delete(tx, l.key())
		layerPolicies.Delete(tx, l.key())
		packages.Delete(tx, packageKey(tx, v.Package, l.holder()))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &lambda.DeleteLayerVersionOutput{}, nil
}

// item is a version as lists show it.
func (v *layer) item(l layerReference) *lambda.LayerVersionsListItem {
	l.number = v.Number
	i := &lambda.LayerVersionsListItem{LayerVersionArn: new(string(l.arn())), Version: new(int64(v.Number)), Description: &v.Description,
		CreatedDate: new(v.Created.Format(modifiedForm)), CompatibleRuntimes: v.Runtimes, CompatibleArchitectures: v.Architectures}
	if v.License != "" {
		i.LicenseInfo = &v.License
	}
	return i
}

// suits reports whether a version is for a runtime and an architecture; nil is any.
func (v *layer) suits(runtime, architecture *string) bool {
	return (runtime == nil || slices.Contains(v.Runtimes, *runtime)) && (architecture == nil || slices.Contains(v.Architectures, *architecture))
}

// ListLayerVersions lists the versions of a layer, the newest first.
func (s *Service) ListLayerVersions(ctx context.Context, in *lambda.ListLayerVersionsInput) (*lambda.ListLayerVersionsOutput, error) {
	l, err := referLayer(ctx, in.LayerName, 0)
	if err != nil {
		return nil, err
	}
	_, before, err := readPlace(in.GetMarker())
	if err != nil {
		return nil, err
	}
	limit := pageSize(in.GetMaxItems())
	scan := store.Range{Prefix: store.K(l.name), Reverse: true}
	if before > 0 {
		scan.After = store.K(l.name, before)
	}
	out := &lambda.ListLayerVersionsOutput{}
	err = s.db.View(ctx, func(tx *store.Tx) error {
		out.LayerVersions, out.NextMarker = []lambda.LayerVersionsListItem{}, nil
		for _, v := range layers.Scan(tx.In(l.account, l.region), scan) {
			if !v.suits(in.CompatibleRuntime, in.CompatibleArchitecture) {
				continue
			}
			if len(out.LayerVersions) == limit {
				out.NextMarker = new(writeMarker(l.name + ":" + strconv.FormatInt(*out.LayerVersions[limit-1].Version, 10)))
				break
			}
			out.LayerVersions = append(out.LayerVersions, *v.item(l))
		}
		return nil
	})
	return out, err
}

// ListLayers lists layers by name, each with its newest version.
func (s *Service) ListLayers(ctx context.Context, in *lambda.ListLayersInput) (*lambda.ListLayersOutput, error) {
	after, err := readMarker(in.GetMarker())
	if err != nil {
		return nil, err
	}
	limit := pageSize(in.GetMaxItems())
	c := aws.CallFrom(ctx)
	out := &lambda.ListLayersOutput{}
	err = s.db.View(ctx, func(tx *store.Tx) error {
		out.Layers, out.NextMarker = []lambda.LayersListItem{}, nil
		for key := range layerNumbers.Keys(tx, store.Range{After: after}) {
			l := layerReference{account: c.Account, region: c.Region}
			if err := key.Parse(&l.name); err != nil {
				return err
			}
			newest := newestLayer(tx, l, in)
			if newest == nil {
				continue
			}
			if len(out.Layers) == limit {
				out.NextMarker = new(writeMarker(*out.Layers[limit-1].LayerName))
				break
			}
			out.Layers = append(out.Layers, lambda.LayersListItem{LayerName: &l.name, LayerArn: new(string(l.arn())), LatestMatchingVersion: newest.item(l)})
		}
		return nil
	})
	return out, err
}

// newestLayer is the newest version that suits a request, nil when there is none.
func newestLayer(tx *store.Tx, l layerReference, in *lambda.ListLayersInput) *layer {
	for _, v := range layers.Scan(tx, store.Range{Prefix: store.K(l.name), Reverse: true}) {
		if v.suits(in.CompatibleRuntime, in.CompatibleArchitecture) {
			return &v
		}
	}
	return nil
}

// useLayers puts the named versions into f, in their order; that the caller may use them was decided before.
func (f *function) useLayers(ctx context.Context, tx *store.Tx, arns []string) error {
	if len(arns) > maxLayers {
		return lambda.InvalidParameterValueException("Cannot reference more than %d layers.", maxLayers)
	}
	f.Layers = nil
	seen := map[string]string{}
	for _, arn := range arns {
		l, err := referLayer(ctx, arn, 0)
		if err != nil {
			return err
		}
		bare := string(l.bare().arn())
		if other := seen[bare]; other != "" {
			return lambda.InvalidParameterValueException("Two different versions of the same layer are not allowed to be referenced in the same function. %s and %s", other, arn)
		}
		seen[bare] = arn
		v, err := findLayer(tx.In(l.account, l.region), l)
		if err != nil {
			return lambda.InvalidParameterValueException("Layer version %s does not exist.", arn)
		}
		f.Layers = append(f.Layers, layerUse{ARN: arn, Package: v.Package, Bytes: v.PackageBytes, Unzipped: v.Unzipped})
	}
	return f.fits()
}

// fits makes sure that the code and its layers are not too large together.
func (f *function) fits() error {
	size := f.Unzipped
	for i := range f.Layers {
		size += f.Layers[i].Unzipped
	}
	if size > compute.MaxUnzipped {
		return lambda.InvalidParameterValueException("Function code combined with layers exceeds the maximum allowed size of %d bytes. The actual size is %d bytes.", compute.MaxUnzipped, size)
	}
	return nil
}

// layerPackages are the packages of a function's layers, in their order.
func (f *function) layerPackages() (names []string) {
	for i := range f.Layers {
		names = append(names, f.Layers[i].Package)
	}
	return names
}
