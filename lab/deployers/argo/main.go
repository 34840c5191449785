// Command argo does with Argo CD's engine what its application controller does: it watches everything a server has, compares
// it with the manifests of a folder, and synchronises: a hook that must succeed first, pruning, on the client's side and on
// the server's. It prints one line for each step and ends with 1 at the first that fails.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/argoproj/gitops-engine/pkg/cache"
	"github.com/argoproj/gitops-engine/pkg/diff"
	"github.com/argoproj/gitops-engine/pkg/health"
	"github.com/argoproj/gitops-engine/pkg/sync"
	"github.com/argoproj/gitops-engine/pkg/sync/common"
	"github.com/argoproj/gitops-engine/pkg/utils/kube"
	"github.com/argoproj/gitops-engine/pkg/utils/tracing"
	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2/textlogger"
)

const (
	managedBy  = "argo.flotilla.dev/application"
	namespace  = "argo"
	fieldOwner = "argocd-controller"
	limit      = 2 * time.Minute
	pause      = 200 * time.Millisecond
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: argo FOLDER")
		os.Exit(2)
	}
	if err := run(ctx, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type program struct {
	config    *rest.Config
	log       logr.Logger
	kubectl   kube.Kubectl
	cache     cache.ClusterCache
	manifests []*unstructured.Unstructured
}

func run(ctx context.Context, folder string) error {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	log := textlogger.NewLogger(textlogger.NewConfig())
	clusterCache := cache.NewClusterCache(config, cache.SetLogr(log), cache.SetPopulateResourceInfoHandler(
		func(object *unstructured.Unstructured, _ bool) (any, bool) {
			isOurs := object.GetAnnotations()[managedBy] != ""
			return isOurs, isOurs
		}))
	p := &program{
		config:  config,
		log:     log,
		kubectl: &kube.KubectlCmd{Log: log, Tracer: tracing.NopTracer{}},
		cache:   clusterCache,
	}
	if err := clusterCache.EnsureSynced(); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	defer clusterCache.Invalidate()
	if p.manifests, err = read(folder); err != nil {
		return err
	}
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"brings what a hook needs", func(ctx context.Context) error { return p.sync(ctx, p.groundwork()) }},
		{"synchronises from the client's side", func(ctx context.Context) error { return p.sync(ctx, p.manifests) }},
		{"becomes healthy", p.becomesHealthy},
		{"finds nothing to change", p.findsNothingToChange},
		{"synchronises from the server's side", func(ctx context.Context) error {
			return p.sync(ctx, p.manifests, sync.WithServerSideApply(true), sync.WithServerSideApplyManager(fieldOwner))
		}},
		{"prunes what is no longer wanted", p.prunes},
	} {
		if err := step.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		fmt.Println("ok", step.name)
	}
	return nil
}

func read(folder string) ([]*unstructured.Unstructured, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return nil, err
	}
	sort.Strings(files)
	var manifests []*unstructured.Unstructured
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		objects, err := kube.SplitYAML(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for _, object := range objects {
			annotations := object.GetAnnotations()
			if annotations == nil {
				annotations = map[string]string{}
			}
			annotations[managedBy] = "shop"
			object.SetAnnotations(annotations)
		}
		manifests = append(manifests, objects...)
	}
	if len(manifests) == 0 {
		return nil, fmt.Errorf("no manifests in %s", folder)
	}
	return manifests, nil
}

// groundwork is the namespace and its policy: without them no member runs the hook.
func (p *program) groundwork() []*unstructured.Unstructured {
	var found []*unstructured.Unstructured
	for _, object := range p.manifests {
		if kind := object.GetKind(); kind == "Namespace" || kind == "PropagationPolicy" {
			found = append(found, object)
		}
	}
	return found
}

// sync carries manifests out as the application controller does, one look at the live state after the other, each knowing
// what came before. A resource that could not be synchronised is an error that names it.
func (p *program) sync(ctx context.Context, manifests []*unstructured.Unstructured, options ...sync.SyncOpt) error {
	var results []common.ResourceSyncResult
	phase, message, started := common.OperationRunning, "", metav1.Now()
	for !phase.Completed() {
		live, err := p.cache.GetManagedLiveObjs(manifests, isManaged)
		if err != nil {
			return err
		}
		found := sync.Reconcile(manifests, live, namespace, p.cache)
		compared, err := diff.DiffArray(found.Target, found.Live, diff.WithLogr(p.log))
		if err != nil {
			return err
		}
		skipsHooks := len(results) == 0 && !compared.Modified
		all := append([]sync.SyncOpt{
			sync.WithPrune(true), sync.WithLogr(p.log), sync.WithSkipHooks(skipsHooks),
			sync.WithInitialState(phase, message, results, started),
		}, options...)
		syncContext, cleanup, err := sync.NewSyncContext(
			"revision", found, p.config, p.config, p.kubectl, namespace, p.cache.GetOpenAPISchema(), all...)
		if err != nil {
			return err
		}
		syncContext.Sync()
		phase, message, results = syncContext.GetState()
		cleanup()
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %s", phase, message)
		case <-time.After(pause):
		}
	}
	if phase == common.OperationSucceeded {
		return nil
	}
	lines := []string{string(phase) + ": " + message}
	for _, result := range results {
		if result.Status == common.ResultCodeSyncFailed || result.HookPhase == common.OperationFailed {
			lines = append(lines, result.ResourceKey.String()+": "+result.Message)
		}
	}
	return errors.New(strings.Join(lines, "\n"))
}

func isManaged(resource *cache.Resource) bool {
	isOurs, _ := resource.Info.(bool)
	return isOurs
}

// becomesHealthy waits until every wanted resource that Argo CD can judge is healthy, as the tree in its cache has it.
func (p *program) becomesHealthy(ctx context.Context) error {
	return p.eventually(ctx, func(live map[kube.ResourceKey]*unstructured.Unstructured) error {
		for key, object := range live {
			if object == nil {
				return fmt.Errorf("%s is not there", key)
			}
			status, err := health.GetResourceHealth(object, nil)
			if err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
			if status != nil && status.Status != health.HealthStatusHealthy {
				return fmt.Errorf("%s is %s: %s", key, status.Status, status.Message)
			}
		}
		return nil
	})
}

// findsNothingToChange holds that a second synchronisation leaves every resource at the generation it has.
func (p *program) findsNothingToChange(ctx context.Context) error {
	before, err := p.live()
	if err != nil {
		return err
	}
	if err := p.sync(ctx, p.manifests); err != nil {
		return err
	}
	after, err := p.live()
	if err != nil {
		return err
	}
	for key, object := range before {
		if now := after[key]; now == nil || now.GetUID() != object.GetUID() || now.GetGeneration() != object.GetGeneration() {
			return fmt.Errorf("%s was changed", key)
		}
	}
	return nil
}

func (p *program) prunes(ctx context.Context) error {
	var kept, gone []*unstructured.Unstructured
	for _, object := range p.manifests {
		// A definition takes its objects along, which would be a race with the engine's own deletions.
		if kind := object.GetKind(); kind == "Namespace" || kind == "ConfigMap" || kind == "CustomResourceDefinition" {
			kept = append(kept, object)
		} else if object.GetAnnotations()["argocd.argoproj.io/hook"] == "" {
			gone = append(gone, object)
		}
	}
	if err := p.sync(ctx, kept); err != nil {
		return err
	}
	return p.eventually(ctx, func(live map[kube.ResourceKey]*unstructured.Unstructured) error {
		for _, object := range gone {
			if key := kube.GetResourceKey(object); live[key] != nil {
				return fmt.Errorf("%s is still there", key)
			}
		}
		for _, object := range kept {
			if key := kube.GetResourceKey(object); live[key] == nil {
				return fmt.Errorf("%s is gone", key)
			}
		}
		return nil
	})
}

// live is what the cluster has of the wanted resources that are no hooks; nil for what is not there.
func (p *program) live() (map[kube.ResourceKey]*unstructured.Unstructured, error) {
	var wanted []*unstructured.Unstructured
	for _, object := range p.manifests {
		if object.GetAnnotations()["argocd.argoproj.io/hook"] == "" {
			wanted = append(wanted, object)
		}
	}
	found, err := p.cache.GetManagedLiveObjs(wanted, isManaged)
	if err != nil {
		return nil, err
	}
	live := map[kube.ResourceKey]*unstructured.Unstructured{}
	for _, object := range wanted {
		key := kube.GetResourceKey(object)
		live[key] = found[key]
	}
	return live, nil
}

func (p *program) eventually(ctx context.Context, holds func(map[kube.ResourceKey]*unstructured.Unstructured) error) error {
	for {
		live, err := p.live()
		if err == nil {
			if err = holds(live); err == nil {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}
