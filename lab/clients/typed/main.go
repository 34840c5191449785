// Command typed does with client-go what a controller does: typed clients over protobuf, informers that watch as a list,
// server-side apply, pages, watches, leader election. It prints one line for each step and ends with 1 at the first
// that fails.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	appsapply "k8s.io/client-go/applyconfigurations/apps/v1"
	coreapply "k8s.io/client-go/applyconfigurations/core/v1"
	metaapply "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

const (
	namespace = "typed-client"
	limit     = 2 * time.Minute
)

type program struct {
	config *rest.Config
	client kubernetes.Interface
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	// As controllers do: typed clients send protobuf and do not fall back to JSON when a server refuses it.
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	config.QPS, config.Burst = 200, 400
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	p := program{config: config, client: client}
	steps := []struct {
		name string
		do   func(context.Context) error
	}{
		{"discovery", p.discovery},
		{"create, read, update and delete over protobuf", p.crud},
		{"informers that watch as a list", p.informers},
		{"server-side apply with conflicts", p.apply},
		{"pages", p.pages},
		{"watch with bookmarks", p.watch},
		{"metadata and dynamic clients", p.generic},
		{"scale and status subresources", p.subresources},
		{"leader election", p.election},
		{"deletion by collection", p.deleteCollection},
	}
	for _, step := range steps {
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		fmt.Printf("ok %s\n", step.name)
	}
	return nil
}

func must(isTrue bool, format string, values ...any) error {
	if isTrue {
		return nil
	}
	return fmt.Errorf(format, values...)
}

func (p program) discovery(context.Context) error {
	version, err := p.client.Discovery().ServerVersion()
	if err != nil {
		return err
	}
	groups, resources, err := p.client.Discovery().ServerGroupsAndResources()
	if err != nil {
		return err
	}
	return errors.Join(
		must(version.Major == "1", "the server's major version is %q", version.Major),
		must(len(groups) > 10 && len(resources) > 10, "%d groups with %d lists of resources", len(groups), len(resources)),
	)
}

func deployment(name string, replicas int32) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "nginx:1.29"}}},
			},
		},
	}
}

func (p program) crud(ctx context.Context) error {
	spaces := p.client.CoreV1().Namespaces()
	_, err := spaces.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	deployments := p.client.AppsV1().Deployments(namespace)
	created, err := deployments.Create(ctx, deployment("crud", 2), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	created.Spec.Replicas = new(int32(3))
	updated, err := deployments.Update(ctx, created, metav1.UpdateOptions{})
	if err != nil {
		return err
	}
	_, stale := deployments.Update(ctx, created, metav1.UpdateOptions{})
	patched, err := deployments.Patch(ctx, "crud", types.StrategicMergePatchType,
		[]byte(`{"spec":{"template":{"spec":{"containers":[{"name":"app","env":[{"name":"A","value":"1"}]}]}}}}`), metav1.PatchOptions{})
	if err != nil {
		return err
	}
	if err := deployments.Delete(ctx, "crud", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &patched.UID}}); err != nil {
		return err
	}
	_, gone := deployments.Get(ctx, "crud", metav1.GetOptions{})
	_, invalid := deployments.Create(ctx, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "bad"}}, metav1.CreateOptions{})
	var status apierrors.APIStatus
	causes := 0
	if errors.As(invalid, &status) && status.Status().Details != nil {
		causes = len(status.Status().Details.Causes)
	}
	return errors.Join(
		must(created.Spec.Strategy.Type == appsv1.RollingUpdateDeploymentStrategyType, "defaults are missing"),
		must(updated.Generation == 2, "generation %d after a change of the spec", updated.Generation),
		must(apierrors.IsConflict(stale), "an old version was taken: %v", stale),
		must(len(patched.Spec.Template.Spec.Containers) == 1 && len(patched.Spec.Template.Spec.Containers[0].Env) == 1, "the patch is not merged by name"),
		must(apierrors.IsNotFound(gone), "it is still there: %v", gone),
		must(apierrors.IsInvalid(invalid) && causes > 0, "an invalid object was answered with %v", invalid),
	)
}

func (p program) informers(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	maps := p.client.CoreV1().ConfigMaps(namespace)
	for i := range 50 {
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("before-%d", i)}, Data: map[string]string{"n": fmt.Sprint(i)}}
		if _, err := maps.Create(ctx, object, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	factory := informers.NewSharedInformerFactoryWithOptions(p.client, 0, informers.WithNamespace(namespace))
	informer := factory.Core().V1().ConfigMaps().Informer()
	var lock sync.Mutex
	seen := map[string]int{}
	count := func(kind string) {
		lock.Lock()
		defer lock.Unlock()
		seen[kind]++
	}
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { count("add") },
		UpdateFunc: func(any, any) { count("update") },
		DeleteFunc: func(any) { count("delete") },
	}); err != nil {
		return err
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return errors.New("the cache never synced")
	}
	if _, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "after"}}, metav1.CreateOptions{}); err != nil {
		return err
	}
	if _, err := maps.Patch(ctx, "after", types.MergePatchType, []byte(`{"data":{"k":"v"}}`), metav1.PatchOptions{}); err != nil {
		return err
	}
	if err := maps.Delete(ctx, "after", metav1.DeleteOptions{}); err != nil {
		return err
	}
	return eventually(ctx, func() error {
		lock.Lock()
		defer lock.Unlock()
		return must(seen["add"] == 51 && seen["update"] == 1 && seen["delete"] == 1 && len(informer.GetStore().List()) == 50,
			"saw %v with %d in the cache", seen, len(informer.GetStore().List()))
	})
}

func eventually(ctx context.Context, look func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	for {
		err := look()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (p program) apply(ctx context.Context) error {
	deployments := p.client.AppsV1().Deployments(namespace)
	labels := map[string]string{"app": "applied"}
	wanted := func(image string) *appsapply.DeploymentApplyConfiguration {
		return appsapply.Deployment("applied", namespace).WithSpec(appsapply.DeploymentSpec().
			WithReplicas(2).
			WithSelector(metaapply.LabelSelector().WithMatchLabels(labels)).
			WithTemplate(coreapply.PodTemplateSpec().WithLabels(labels).
				WithSpec(coreapply.PodSpec().WithContainers(coreapply.Container().WithName("app").WithImage(image)))))
	}
	if _, err := deployments.Apply(ctx, wanted("nginx:1"), metav1.ApplyOptions{FieldManager: "one"}); err != nil {
		return err
	}
	_, conflict := deployments.Apply(ctx, wanted("nginx:2"), metav1.ApplyOptions{FieldManager: "two"})
	forced, err := deployments.Apply(ctx, wanted("nginx:2"), metav1.ApplyOptions{FieldManager: "two", Force: true})
	if err != nil {
		return err
	}
	extracted, err := appsapply.ExtractDeployment(forced, "two")
	if err != nil {
		return err
	}
	return errors.Join(
		must(apierrors.IsConflict(conflict), "no conflict: %v", conflict),
		must(forced.Spec.Template.Spec.Containers[0].Image == "nginx:2", "the forced value did not win"),
		must(extracted.Spec != nil && extracted.Spec.Replicas != nil && *extracted.Spec.Replicas == 2, "the owner's fields cannot be extracted"),
	)
}

func (p program) pages(ctx context.Context) error {
	maps := p.client.CoreV1().ConfigMaps(namespace)
	names, next := map[string]bool{}, ""
	for {
		page, err := maps.List(ctx, metav1.ListOptions{Limit: 7, Continue: next})
		if err != nil {
			return err
		}
		for _, item := range page.Items {
			names[item.Name] = true
		}
		if next = page.Continue; next == "" {
			break
		}
	}
	selected, err := maps.List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=before-3"})
	if err != nil {
		return err
	}
	return errors.Join(
		must(len(names) == 50, "%d objects in all pages", len(names)),
		must(len(selected.Items) == 1, "%d objects by name", len(selected.Items)),
	)
}

func (p program) watch(ctx context.Context) error {
	maps := p.client.CoreV1().ConfigMaps(namespace)
	list, err := maps.List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	if _, err := maps.Patch(ctx, "before-1", types.MergePatchType, []byte(`{"data":{"w":"1"}}`), metav1.PatchOptions{}); err != nil {
		return err
	}
	resumed, err := maps.Watch(ctx, metav1.ListOptions{ResourceVersion: list.ResourceVersion, AllowWatchBookmarks: true})
	if err != nil {
		return err
	}
	defer resumed.Stop()
	select {
	case event := <-resumed.ResultChan():
		object, isMap := event.Object.(*corev1.ConfigMap)
		return must(event.Type == watch.Modified && isMap && object.Data["w"] == "1", "the first event is %s %v", event.Type, event.Object)
	case <-time.After(10 * time.Second):
		return errors.New("no event within 10 s")
	}
}

func (p program) generic(ctx context.Context) error {
	resource := corev1.SchemeGroupVersion.WithResource("configmaps")
	partial, err := metadata.NewForConfig(p.config)
	if err != nil {
		return err
	}
	list, err := partial.Resource(resource).Namespace(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	// Dynamic clients speak JSON.
	json := rest.CopyConfig(p.config)
	json.ContentType, json.AcceptContentTypes = "", ""
	untyped, err := dynamic.NewForConfig(json)
	if err != nil {
		return err
	}
	one, err := untyped.Resource(resource).Namespace(namespace).Get(ctx, "before-0", metav1.GetOptions{})
	if err != nil {
		return err
	}
	return errors.Join(
		must(len(list.Items) == 50 && list.Items[0].UID != "", "%d items of metadata", len(list.Items)),
		must(one.GetKind() == "ConfigMap", "kind %q", one.GetKind()),
	)
}

func (p program) subresources(ctx context.Context) error {
	deployments := p.client.AppsV1().Deployments(namespace)
	scale, err := deployments.GetScale(ctx, "applied", metav1.GetOptions{})
	if err != nil {
		return err
	}
	scale.Spec.Replicas = 5
	if _, err := deployments.UpdateScale(ctx, "applied", scale, metav1.UpdateOptions{}); err != nil {
		return err
	}
	found, err := deployments.Get(ctx, "applied", metav1.GetOptions{})
	if err != nil {
		return err
	}
	found.Status.Replicas = 4
	found.Spec.Replicas = new(int32(9))
	written, err := deployments.UpdateStatus(ctx, found, metav1.UpdateOptions{})
	if err != nil {
		return err
	}
	return must(*written.Spec.Replicas == 5 && written.Status.Replicas == 4, "replicas %d, status %d", *written.Spec.Replicas, written.Status.Replicas)
}

func (p program) election(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	led := make(chan string, 4)
	start := func(ctx context.Context, name string) {
		lock := &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: namespace, Name: "leader"},
			Client:     p.client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: name},
		}
		leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
			Lock: lock, LeaseDuration: 3 * time.Second, RenewDeadline: 2 * time.Second, RetryPeriod: 200 * time.Millisecond, ReleaseOnCancel: true,
			Callbacks: leaderelection.LeaderCallbacks{OnStartedLeading: func(context.Context) { led <- name }, OnStoppedLeading: func() {}},
		})
	}
	firstContext, stopFirst := context.WithCancel(ctx)
	defer stopFirst()
	go start(firstContext, "first")
	if name, err := within(led, 10*time.Second); err != nil || name != "first" {
		return fmt.Errorf("the first leader is %q: %w", name, err)
	}
	go start(ctx, "second")
	stopFirst()
	name, err := within(led, 10*time.Second)
	return errors.Join(err, must(name == "second", "the next leader is %q", name))
}

func within(names <-chan string, limit time.Duration) (string, error) {
	select {
	case name := <-names:
		return name, nil
	case <-time.After(limit):
		return "", fmt.Errorf("nobody led within %s", limit)
	}
}

func (p program) deleteCollection(ctx context.Context) error {
	maps := p.client.CoreV1().ConfigMaps(namespace)
	if err := maps.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		return err
	}
	left, err := maps.List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	return must(len(left.Items) == 0, "%d are left", len(left.Items))
}
